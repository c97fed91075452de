"""Exports traces and log lines with OpenTelemetry, over OTLP and HTTP. The only module that imports it.

Its library exports in threads of its own, and drops what a collector that is slow or away does not take in time.
"""

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace import Tracer as OtelApiTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dexexec import __version__
from dexexec.observe.tracing import NO_TRACER, RequestSpan, Tracer

SCOPE = "dexexec"
FLUSH_SECONDS = 3.0
"""How long a stop waits for what was not exported yet: a collector that hangs must not keep a process from ending."""
LEVELS = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
_W3C = TraceContextTextMapPropagator()
# Tasks start with a copy of the context of the one that makes them, so the parts of an order find its trace here.
_CURRENT: ContextVar[Context | None] = ContextVar("order trace", default=None)


class OtelTracer:
    """Records spans. `dexexec.observe.tracing.Tracer` describes the methods."""

    def __init__(self, tracer: OtelApiTracer) -> None:
        self._tracer = tracer

    def request(self, name: str, traceparent: str | None) -> RequestSpan:
        """Begin the span of a request."""
        span = self._tracer.start_span(name, context=_context_of(traceparent) or Context(), kind=SpanKind.SERVER)
        _CURRENT.set(set_span_in_context(span, Context()))
        return OtelRequest(span)

    def enter(self, traceparent: str | None) -> None:
        """Enter a trace."""
        _CURRENT.set(_context_of(traceparent))

    def stage(self, name: str, begun: float, ended: float, *, error: str = "", **about: str | int | bool) -> None:
        """Record a span that has ended."""
        context = _CURRENT.get()
        if context is None:
            return
        # Spans are on the wall clock, durations are not: both ends are placed by how long ago they were.
        now = time.time_ns()
        monotonic = time.monotonic()
        attributes = {f"dexexec.{key}": value for key, value in about.items()}
        span = self._tracer.start_span(
            name, context=context, start_time=now - round((monotonic - begun) * 1e9), attributes=attributes
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=now - round((monotonic - ended) * 1e9))


class OtelRequest:
    """The span of a request."""

    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span, Context()))
        self.traceparent = carrier.get("traceparent")

    def end(self, status: int, order_id: str = "") -> None:
        """The request was answered."""
        self._span.set_attribute("http.request.method", "POST")
        self._span.set_attribute("http.response.status_code", status)
        if order_id:
            self._span.set_attribute("dexexec.order.id", order_id)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Telemetry:
    """What is exported, until the block ends."""

    def __init__(self, *, traces: bool, logs: bool) -> None:
        # Not set as the global providers: libraries that find those would add spans of their own.
        resource = _resource()
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False) if traces else None
        self._logs = LoggerProvider(resource=resource, shutdown_on_exit=False) if logs else None
        self.tracer: Tracer = NO_TRACER
        if self._traces:
            self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self.tracer = OtelTracer(self._traces.get_tracer(SCOPE, __version__))
        if self._logs:
            self._logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
            self._logger = self._logs.get_logger(SCOPE, __version__)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        # In a thread that does not keep the process alive, since an export cannot be interrupted.
        ending = threading.Thread(target=self._shut_down, name="telemetry end", daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)

    def export_line(self, level: str, fields: Mapping[str, object]) -> None:
        """Export a log line, whose secrets are masked by now."""
        if self._logs is None:
            return
        now = time.time_ns()
        attributes = {
            name: value if isinstance(value, str | int | float | bool) else str(value)
            for name, value in fields.items()
            if name not in {"event", "level", "timestamp"}
        }
        self._logger.emit(
            LogRecord(
                timestamp=now,
                observed_timestamp=now,
                context=_CURRENT.get() or Context(),
                severity_text=level.upper(),
                severity_number=LEVELS.get(level, SeverityNumber.INFO),
                body=str(fields.get("event", "")),
                attributes=attributes,
            )
        )

    def _shut_down(self) -> None:
        for provider in (self._traces, self._logs):
            if provider is not None:
                provider.shutdown()


def _context_of(traceparent: str | None) -> Context | None:
    """The context of a `traceparent`; None without one, or for one that is not valid."""
    if traceparent is None:
        return None
    context = _W3C.extract({"traceparent": traceparent}, Context())
    return context or None


def _resource() -> Resource:
    attributes = {"service.version": __version__, "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        attributes["service.name"] = SCOPE
    return Resource.create(attributes)
