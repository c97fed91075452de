"""Measures a running server (`--url`) through its API alone: this service, or another with the same API.

Its database cannot be read. One accepted order in fifty is followed to its `confirmed` message, and the last order of
each client. A followed order gets its own socket after its POST was answered, on a connection that is open already.
"""

from typing import Any

from dexexec.bench import load_run
from dexexec.bench.processes import LoadClient, ProcessGroup
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.scenarios import baselines, latency

WATCH_EVERY = 50
CLIENTS = 64


def throughput(url: str, processes: ProcessGroup, load: LoadClient, profile: Profile, report: Report) -> None:
    """As `dexexec.bench.scenarios.throughput`. The warm-up ends when its followed orders have ended."""
    for clients in profile.clients:
        _closed(url, load, profile, clients, seconds=profile.warm_seconds)
        answer = _closed(url, load, profile, clients, seconds=profile.window_seconds)
        where = f"{clients} clients"
        key = f"throughput.url.{clients}"
        bare = f"primitives.bare_post.{clients}"
        _check(report, where, answer)
        report.add(f"{key}.accepted", f"accepted, {where}", _accepted(answer), "orders/s", bare)
        whole = answer["accepted"] / answer["watchedUntil"] if answer["watchedConfirmed"] else None
        report.add(f"{key}.whole_way", f"end to end, {where}", whole, "orders/s", bare)
        report.add(f"{key}.post_p99", f"POST p99, {where}", answer["post"]["p99"], "ms")
        report.details[key] = answer


def latencies(url: str, processes: ProcessGroup, load: LoadClient, profile: Profile, report: Report) -> None:
    """As `dexexec.bench.scenarios.latency`, with a socket per order."""
    # The first orders of a new process pay for connections and compiled statements.
    load.run_job("closed_loop", url, 90, clients=8, seconds=profile.warm_seconds, watch_every=WATCH_EVERY)
    for rate in profile.rates:
        answer = load.run_job(
            "open_loop", url, profile.rate_seconds + load_run.SLACK_SECONDS,
            rate=rate, seconds=profile.rate_seconds, clients=CLIENTS, follow_every=1, by_message=False,
        )  # fmt: skip
        load_run.report_client_faults(report, f"{rate}/s", answer)
        latency.add(report, rate, answer)


def intake(url: str, processes: ProcessGroup, load: LoadClient, profile: Profile, report: Report) -> None:
    """As `dexexec.bench.scenarios.overload.intake`, computed from the followed orders."""
    answer = _closed(url, load, profile, CLIENTS, seconds=profile.intake_seconds, backoff=0.0)
    _check(report, "intake", answer)
    share = answer["watchedConfirmedInTime"] / answer["watchedPostedInTime"] if answer["watchedPostedInTime"] else None
    report.add("intake.accepted", "accepted", _accepted(answer), "orders/s")
    report.add("intake.completed", "finished meanwhile", None if share is None else share * 100, "% of accepted")
    report.add("intake.wait_p99", "answer of POST to confirmed, p99", answer["watchedWait"]["p99"], "ms")
    report.details["intake"] = answer


def overload(url: str, processes: ProcessGroup, load: LoadClient, profile: Profile, report: Report) -> None:
    """As `dexexec.bench.scenarios.overload.overload`, computed from the followed orders."""
    peak = _closed(url, load, profile, CLIENTS, seconds=profile.window_seconds)
    if not peak["watchedConfirmed"]:
        report.faults.append("overload: no order was confirmed")
        return
    capacity = peak["accepted"] / peak["watchedUntil"]
    answer = load.run_job(
        "open_loop", url, profile.overload_seconds + profile.drain_seconds + load_run.SLACK_SECONDS,
        rate=2 * capacity, seconds=profile.overload_seconds, clients=256, follow_every=WATCH_EVERY, by_message=False,
        patience=profile.drain_seconds,
    )  # fmt: skip
    load_run.report_client_faults(report, "overload", answer)
    # The followed orders are a sample: their share of orders confirmed in time is taken for all accepted orders.
    confirmed_share = answer["confirmedInTime"] / answer["followed"] if answer["followed"] else 0.0
    goodput = confirmed_share * answer["accepted"] / profile.overload_seconds
    report.add("overload.peak", "peak", capacity, "orders/s")
    report.add("overload.goodput", "goodput at 2x the peak", goodput, "orders/s", "overload.peak")
    report.add("overload.refused", "refused with 503 or 429", load_run.refused_percent(answer), "%")
    report.add("overload.post_p99", "accepted orders: POST p99", answer["post"]["p99"], "ms")
    report.add("overload.confirmed_p99", "accepted orders: POST to confirmed p99", answer["confirmed"]["p99"], "ms")
    report.details["overload"] = answer


def _closed(
    url: str, load: LoadClient, profile: Profile, clients: int, *, seconds: float, backoff: float = 0.1
) -> dict[str, Any]:
    return load.run_job(
        "closed_loop", url, seconds + profile.drain_seconds + load_run.SLACK_SECONDS,
        clients=clients, seconds=seconds, backoff=backoff, watch_every=WATCH_EVERY, patience=profile.drain_seconds,
    )  # fmt: skip


def _accepted(answer: dict[str, Any]) -> float:
    return float(answer["acceptedInTime"] / answer["seconds"])


def _check(report: Report, where: str, answer: dict[str, Any]) -> None:
    load_run.report_client_faults(report, where, answer)
    left = answer["watched"] - answer["watchedConfirmed"]
    if left:
        report.faults.append(f"{where}: {left} of {answer['watched']} followed orders had no `confirmed` message")
    for fault, count in answer["watchedFaults"].items():
        report.faults.append(f"{where}: {count} x {fault}")


def primitives(url: str, processes: ProcessGroup, load: LoadClient, profile: Profile, report: Report) -> None:
    """The bare server only: the limits of the measured server's Postgres and Redis cannot be measured from here."""
    baselines.bare_server(processes, load, profile, report)


REMOTE_SCENARIOS = {
    "primitives": primitives,
    "throughput": throughput,
    "latency": latencies,
    "intake": intake,
    "overload": overload,
}
