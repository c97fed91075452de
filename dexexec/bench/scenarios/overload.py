"""Too many orders: from clients that never pause (intake), and at twice the rate of execution (overload)."""

from dexexec.bench import load_run
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchServers

CLIENTS = 64
CROWD = 1_024
"""Connections of the overload: more than may wait for room in the queue, so that some are refused."""
CALM_RATE = 50


def intake(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure clients that post as fast as they are answered: are orders executed meanwhile, and how long do they wait?

    Raises `BenchError`.
    """
    seconds = profile.intake_seconds
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        result = load_run.run_closed_loop(sandbox, service, profile, clients=CLIENTS, seconds=seconds, backoff=0.0)
        load_run.require_orders(result, "intake")
        load_run.compare_with_database(report, sandbox, "intake", result)
        waits = sandbox.database.waits(result.since)
        service.stop()
    counts = result.counts
    report.add("intake.accepted", "accepted", result.accepted, "orders/s")
    report.add("intake.completed", "finished meanwhile", counts.finished / counts.created * 100, "% of accepted")
    report.add("intake.wait_p50_last", "wait for a worker, last second, p50", waits[-1].p50, "s")
    report.add("intake.wait_max", "wait for a worker, longest", max(wait.longest for wait in waits), "s")
    report.details["intake"] = {
        "client": result.answer,
        "bySecond": [
            {
                "second": wait.second,
                "orders": wait.orders,
                "waitP50": wait.p50,
                "waitMax": wait.longest,
                "finishedP99": wait.finished_p99,
            }
            for wait in waits
        ],
    }


def overload(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure the peak rate, then twice that rate, then a low rate. Raises `BenchError`."""
    limit = {"DEXEXEC_MAX_QUEUE": str(profile.overload_queue)} if profile.overload_queue else {}
    with servers.sandbox() as sandbox:
        service = sandbox.service(**limit)
        # The peak differs between machines and from hour to hour, so it is measured right before.
        peak = load_run.run_closed_loop(sandbox, service, profile, clients=CLIENTS, seconds=profile.window_seconds)
        load_run.require_orders(peak, "overload")
        capacity = peak.counts.rate
        seconds = profile.overload_seconds
        result = load_run.run_load(
            sandbox, service, profile, "open_loop", seconds=seconds, rate=2 * capacity, clients=CROWD
        )
        load_run.compare_with_database(report, sandbox, "overload", result)
        waits = sandbox.database.waits(result.since)
        # Without waiting until the queue is empty: how soon a client gets a normal answer again is the question.
        calm = sandbox.load.run_job(
            "open_loop", service.url, profile.rate_seconds + load_run.SLACK_SECONDS,
            rate=CALM_RATE, seconds=profile.rate_seconds, clients=CLIENTS, follow_every=1,
        )  # fmt: skip
        load_run.report_client_faults(report, "after the overload", calm)
        service.stop()
    answer = result.answer
    counts = result.counts
    report.add("overload.peak", "peak", capacity, "orders/s")
    report.add("overload.goodput", "goodput at 2x the peak", counts.finished / seconds, "orders/s", "overload.peak")
    report.add("overload.refused", "refused with 503 or 429", load_run.refused_percent(answer), "%")
    report.add("overload.refused_p99", "refused orders: POST p99", answer["refused"]["p99"], "ms")
    report.add("overload.post_p99", "accepted orders: POST p99", answer["post"]["p99"], "ms")
    longest = max((wait.finished_p99 for wait in waits), default=None)
    report.add("overload.finished_p99", "accepted orders: created to finished, worst second's p99", longest, "s")
    report.add("overload.drained", "until the last order ended", counts.seconds - seconds, "s after the burst")
    report.add(
        "overload.calm_p50", f"afterwards at {CALM_RATE}/s: POST to confirmed p50", calm["confirmed"]["p50"], "ms"
    )
    report.details["overload"] = {"client": answer, "after": calm}
    if limit:
        report.notes.append(f"overload: the queue was limited to {profile.overload_queue} orders, so that it fills up")
