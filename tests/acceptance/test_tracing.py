"""Traces and logs over OTLP: one trace from the client's request to the end of the order, over two processes."""

import asyncio
import secrets

from tests.support.otlp_collector import Collector, collecting
from tests.support.service.client import http
from tests.support.service.process import Launcher
from tests.support.waiting import until

SERVER = 2
"""The kind of a span that answers a request."""
IN_ORDER = ("accepting", "queue", "routing", "building", "signing", "recording", "sending", "confirming", "ended")
"""What happens to an order that is filled in its first round, once each; `quote` is there for each venue."""


def exporting(collector: Collector) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_BLRP_SCHEDULE_DELAY": "50",
        "DEXEXEC_LOG_LEVEL": "info",
    }


async def test_one_trace_goes_from_the_client_through_both_processes(launcher: Launcher) -> None:
    with collecting() as collector:
        api, worker = (launcher.start(role, **exporting(collector)) for role in ("api", "worker"))
        await asyncio.to_thread(api.ready)
        trace, parent = secrets.token_hex(16), secrets.token_hex(8)
        async with http() as calls:
            posted = await calls.order(api.url, traceparent=f"00-{trace}-{parent}-01")
            unsampled = await calls.order(api.url, traceparent=f"00-{secrets.token_hex(16)}-{parent}-00")
            own = await calls.order(api.url, traceparent="nonsense")
        assert {posted.status, unsampled.status, own.status} == {202}

        def ended() -> bool:
            return sum(span.name == "ended" for span in collector.spans) == 2

        await until(ended, 30, pause=0.05)
        spans = [span for span in collector.spans if span.trace_id == trace]
        [request] = [span for span in spans if span.kind == SERVER]
        assert (request.name, request.parent_id) == ("POST /api/orders/execute", parent)
        assert request.about["http.response.status_code"] == 202
        assert request.about["dexexec.order.id"] == posted.body["orderId"]
        stages = sorted((span for span in spans if span is not request), key=lambda span: span.ended)
        assert {span.parent_id for span in stages} == {request.span_id}
        assert [span.name for span in stages if span.name != "quote"] == list(IN_ORDER)
        quotes = [span for span in stages if span.name == "quote"]
        assert {span.about["dexexec.venue"] for span in quotes} == {"mock-raydium", "mock-meteora"}
        assert all(span.begun <= span.ended for span in spans)
        assert not any(span.failed for span in spans)
        by_process = {
            name: {str(span.resource["service.instance.id"]) for span in spans if span.name in names}
            for name, names in {"api": {request.name, "accepting"}, "worker": set(IN_ORDER[1:])}.items()
        }
        assert [len(instances) for instances in by_process.values()] == [1, 1]
        assert by_process["api"] != by_process["worker"]
        others = {span.trace_id for span in collector.spans if span.trace_id != trace}
        assert len(others) == 1, "one of its own for what is no traceparent, and none that is not sampled"

        def logged() -> bool:
            return {"worker started", "order ended"} <= {line.event for line in collector.lines}

        await until(logged, 30, pause=0.05)
        assert {line.resource["service.name"] for line in collector.lines} == {"dexexec"}
        assert api.stop() == worker.stop() == 0


async def test_a_collector_that_is_away_costs_nothing_but_the_traces(launcher: Launcher) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    service = launcher.start(**settings)
    await asyncio.to_thread(service.ready)
    async with http() as calls:
        assert (await calls.order(service.url)).status == 202
    assert await asyncio.to_thread(service.stop) == 0


def test_an_exporter_that_is_not_supported_stops_the_start_with_one_line(launcher: Launcher) -> None:
    service = launcher.start(OTEL_TRACES_EXPORTER="zipkin")
    assert service.wait() == 2
    assert "OTEL_TRACES_EXPORTER is 'zipkin': only otlp and none are supported" in service.err
    assert "Traceback" not in service.err
