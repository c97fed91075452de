"""Reads the standard OTEL_* variables and sets OpenTelemetry up as they configure it; else it is not imported."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dexexec.errors import StartupError, install_hint

if TYPE_CHECKING:
    from dexexec.observe.tracing.otel import Telemetry

PREFIX = "OTEL_"
PROTOCOL = "http/protobuf"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXTRA = frozenset({"opentelemetry", "google", "requests"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whether traces and logs are exported."""

    traces: bool
    logs: bool


def wanted_of(environ: Mapping[str, str]) -> Wanted:
    """What the variables configure. Raises `StartupError` for an exporter or a protocol that is not supported."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Wanted(traces=False, logs=False)
    return Wanted(traces=_is_wanted(environ, "TRACES"), logs=_is_wanted(environ, "LOGS"))


def open_telemetry(environ: Mapping[str, str], process: MutableMapping[str, str]) -> "Telemetry | None":
    """OpenTelemetry as configured; None if it is not. Its variables are copied from `environ` to the environment of the
    `process`, where its library reads them. Raises `StartupError`."""
    wanted = wanted_of(environ)
    if not wanted.traces and not wanted.logs:
        return None
    for name, value in environ.items():
        if name.startswith(PREFIX):
            process.setdefault(name, value)
    try:
        from dexexec.observe.tracing.otel import Telemetry  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise StartupError(f"{ENDPOINT} needs the otel extra: {install_hint('otel')}") from error
    return Telemetry(traces=wanted.traces, logs=wanted.logs)


def _is_wanted(environ: Mapping[str, str], signal: str) -> bool:
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "").strip()
    endpoints = (ENDPOINT, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    if exporter == "none" or not (exporter or any(environ.get(name) for name in endpoints)):
        return False
    if exporter not in {"", "otlp"}:
        raise StartupError(f"OTEL_{signal}_EXPORTER is {exporter!r}: only otlp and none are supported")
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environ.get(name, "").strip():
            if protocol != PROTOCOL:
                raise StartupError(f"{name} is {protocol!r}: only {PROTOCOL} is supported")
            break
    return True
