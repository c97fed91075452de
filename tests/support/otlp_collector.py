"""A collector that takes what OpenTelemetry exports over OTLP and HTTP, and decodes its protocol buffers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedSpan:
    """A span, with the attributes of the process that exported it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    begun: int
    ended: int
    failed: bool
    about: dict[str, object]
    resource: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedLine:
    """A log line."""

    event: str
    severity: str
    trace_id: str
    about: dict[str, object]
    resource: dict[str, object]


@dataclass(slots=True)
class Collector:
    """What has arrived at `url`."""

    url: str
    spans: list[CollectedSpan] = field(default_factory=list)
    lines: list[CollectedLine] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> int:
        """Decode a request; returns the status of its answer."""
        if path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif path == "/v1/logs":
            self.lines += _lines(ExportLogsServiceRequest.FromString(body))
        else:
            return 404
        return 200


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            status = collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _values(pairs: "list[KeyValue]") -> dict[str, object]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def _spans(request: ExportTraceServiceRequest) -> Iterator[CollectedSpan]:
    for part in request.resource_spans:
        for scope in part.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=span.kind,
                    begun=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    about=_values(list(span.attributes)),
                    resource=_values(list(part.resource.attributes)),
                )


def _lines(request: ExportLogsServiceRequest) -> Iterator[CollectedLine]:
    for part in request.resource_logs:
        for scope in part.scope_logs:
            for line in scope.log_records:
                yield CollectedLine(
                    event=line.body.string_value,
                    severity=line.severity_text,
                    trace_id=line.trace_id.hex(),
                    about=_values(list(line.attributes)),
                    resource=_values(list(part.resource.attributes)),
                )
