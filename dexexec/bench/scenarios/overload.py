"""Too many orders: from clients that never pause (intake), and at twice the rate that can be executed (overload)."""

from dexexec.bench import measure
from dexexec.bench.environment import BenchServers
from dexexec.bench.plan import Plan
from dexexec.bench.report import Report

CLIENTS = 64
CROWD = 1_024
"""Connections: more than may stand in line for room in the queue, so that some are refused."""
CALM_RATE = 50


def intake(servers: BenchServers, plan: Plan, report: Report) -> None:
    """Clients that post as fast as they are answered, refused or not: is anything executed meanwhile, and how long does
    an order wait? Raises `BenchError`."""
    seconds = plan.intake_seconds
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        found = measure.closed(sandbox, service, plan, clients=CLIENTS, seconds=seconds, backoff=0.0)
        measure.require_orders(found, "intake")
        measure.check(report, sandbox, "intake", found)
        waits = sandbox.record.waits(found.since)
        service.stop()
    outcome = found.outcome
    report.add("intake.accepted", "accepted", found.accepted, "orders/s")
    report.add("intake.completed", "completed meanwhile", outcome.finished / outcome.created * 100, "% of accepted")
    report.add("intake.wait_p50_last", "wait for a worker, last second, p50", waits[-1].p50, "s")
    report.add("intake.wait_max", "wait for a worker, longest", max(wait.longest for wait in waits), "s")
    report.details["intake"] = {
        "client": found.answer,
        "bySecond": [
            {
                "second": w.second,
                "orders": w.orders,
                "waitP50": w.p50,
                "waitMax": w.longest,
                "finishedP99": w.finished_p99,
            }
            for w in waits
        ],
    }


def overload(servers: BenchServers, plan: Plan, report: Report) -> None:
    """The peak first, then twice as much for a while, then calm. Raises `BenchError`."""
    limit = {"DEXEXEC_MAX_QUEUE": str(plan.overload_queue)} if plan.overload_queue else {}
    with servers.sandbox() as sandbox:
        service = sandbox.service(**limit)
        peak = measure.closed(sandbox, service, plan, clients=CLIENTS, seconds=plan.window_seconds)
        measure.require_orders(peak, "overload")
        capacity, seconds = peak.outcome.rate, plan.overload_seconds
        found = measure.load(sandbox, service, plan, "paced", seconds=seconds, rate=2 * capacity, clients=CROWD)
        measure.check(report, sandbox, "overload", found)
        waits = sandbox.record.waits(found.since)
        calm = sandbox.load.do(
            "paced", service.url, plan.rate_seconds + measure.SLACK_SECONDS,
            rate=CALM_RATE, seconds=plan.rate_seconds, clients=CLIENTS, follow_every=1,
        )  # fmt: skip
        measure.tell(report, "after the overload", calm)
        service.stop()
    answer, outcome = found.answer, found.outcome
    refused = sum(n for status, n in answer["statuses"].items() if status in {"429", "503"})
    report.add("overload.peak", "peak", capacity, "orders/s")
    report.add("overload.goodput", "goodput at 2x the peak", outcome.finished / seconds, "orders/s", "overload.peak")
    report.add("overload.refused", "refused with 503 or 429", refused / answer["intended"] * 100, "%")
    report.add("overload.refused_p99", "refusals: POST p99", answer["refused"]["p99"], "ms")
    report.add("overload.post_p99", "accepted orders: POST p99", answer["post"]["p99"], "ms")
    longest = max((wait.finished_p99 for wait in waits), default=None)
    report.add("overload.finished_p99", "accepted orders: created to finished, worst second's p99", longest, "s")
    report.add("overload.drained", "until the last one had ended", outcome.seconds - seconds, "s after the burst")
    report.add(
        "overload.calm_p50", f"afterwards at {CALM_RATE}/s: POST to confirmed p50", calm["confirmed"]["p50"], "ms"
    )
    report.details["overload"] = {"client": answer, "after": calm}
    if limit:
        report.notes.append(f"overload: with room for {plan.overload_queue} waiting orders, so that it is full in time")
