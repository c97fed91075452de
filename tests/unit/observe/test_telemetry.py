"""What the OTEL_* variables configure, and that nothing of OpenTelemetry is imported without them."""

import subprocess
import sys

import pytest

from dexexec.errors import StartupError
from dexexec.observe.tracing.telemetry import Wanted, open_telemetry, wanted_of

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, Wanted(traces=False, logs=False)),
        ({"OTEL_SERVICE_NAME": "desk"}, Wanted(traces=False, logs=False)),
        (ENDPOINT, Wanted(traces=True, logs=True)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, Wanted(traces=True, logs=False)),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c/v1/logs"}, Wanted(traces=False, logs=True)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Wanted(traces=True, logs=False)),
        (ENDPOINT | {"OTEL_LOGS_EXPORTER": "none"}, Wanted(traces=True, logs=False)),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, Wanted(traces=False, logs=False)),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, Wanted(traces=True, logs=True)),
        (
            ENDPOINT
            | {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_LOGS_EXPORTER": "none",
            },
            Wanted(traces=True, logs=False),
        ),
    ],
)
def test_the_variables_decide_what_is_exported(environ: dict[str, str], wanted: Wanted) -> None:
    assert wanted_of(environ) == wanted


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER is 'console'"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"),
        (
            ENDPOINT | {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL is 'http/json'",
        ),
    ],
)
def test_what_is_not_supported_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        wanted_of(environ)


def test_without_its_variables_nothing_is_opened_and_no_variable_is_set() -> None:
    process: dict[str, str] = {}
    assert open_telemetry({"OTEL_SERVICE_NAME": "desk"}, process) is None
    assert process == {}


def test_a_service_without_traces_imports_nothing_of_opentelemetry() -> None:
    # redis-py imports a part of it by itself where it is installed: that is the measure.
    program = (
        "import sys, redis.asyncio\n"
        "before = set(sys.modules)\n"
        "import dexexec.cli.service, dexexec.bootstrap.service, dexexec.bootstrap.supervisor\n"
        "from dexexec.observe.tracing.telemetry import open_telemetry\n"
        "assert open_telemetry({}, {}) is None\n"
        "own = set(sys.modules) - before\n"
        "print([name for name in own if name.partition('.')[0] in ('opentelemetry', 'google', 'requests')])\n"
        "parts = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(parts)])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["[]", "[]"]
