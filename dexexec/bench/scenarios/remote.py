"""A server that somebody else has started, as far as its clients can see: this service, or another of the same API.

There is no record to ask. Of the accepted orders one in fifty is followed to its `confirmed` message, and the last one
of each client: orders are executed about in the order in which they come, so when the last ones have ended all have.
Every order that is followed gets a socket of its own after its POST is answered, on a connection that is open before.
"""

from typing import Any

from dexexec.bench import measure
from dexexec.bench.plan import Plan
from dexexec.bench.processes import LoadClient, ProcessGroup
from dexexec.bench.report import Report
from dexexec.bench.scenarios import baselines, latency

WATCH_EVERY = 50
CLIENTS = 64


def throughput(url: str, processes: ProcessGroup, load: LoadClient, plan: Plan, report: Report) -> None:
    """As `dexexec.bench.scenarios.throughput`, without a warm-up's end to wait for but the client's."""
    for clients in plan.clients:
        _closed(url, load, plan, clients, seconds=plan.warm_seconds)
        answer = _closed(url, load, plan, clients, seconds=plan.window_seconds)
        where, key, bare = f"{clients} clients", f"throughput.url.{clients}", f"primitives.bare_post.{clients}"
        _check(report, where, answer)
        report.add(f"{key}.accepted", f"accepted, {where}", _accepted(answer), "orders/s", bare)
        whole = answer["accepted"] / answer["watchedUntil"] if answer["watchedConfirmed"] else None
        report.add(f"{key}.whole_way", f"whole way, {where}", whole, "orders/s", bare)
        report.add(f"{key}.post_p99", f"POST p99, {where}", answer["post"]["p99"], "ms")
        report.details[key] = answer


def latencies(url: str, processes: ProcessGroup, load: LoadClient, plan: Plan, report: Report) -> None:
    """As `dexexec.bench.scenarios.latency`, each order on a socket of its own."""
    load.do("closed", url, 90, clients=8, seconds=plan.warm_seconds, watch_every=WATCH_EVERY)
    for rate in plan.rates:
        answer = load.do(
            "paced", url, plan.rate_seconds + measure.SLACK_SECONDS,
            rate=rate, seconds=plan.rate_seconds, clients=CLIENTS, follow_every=1, by_message=False,
        )  # fmt: skip
        measure.tell(report, f"{rate}/s", answer)
        latency.add(report, rate, answer)


def intake(url: str, processes: ProcessGroup, load: LoadClient, plan: Plan, report: Report) -> None:
    """As `dexexec.bench.scenarios.overload.intake`, by the orders that are followed."""
    answer = _closed(url, load, plan, CLIENTS, seconds=plan.intake_seconds, backoff=0.0)
    _check(report, "intake", answer)
    share = answer["watchedConfirmedInTime"] / answer["watchedPostedInTime"] if answer["watchedPostedInTime"] else None
    report.add("intake.accepted", "accepted", _accepted(answer), "orders/s")
    report.add("intake.completed", "completed meanwhile", None if share is None else share * 100, "% of accepted")
    report.add("intake.wait_p99", "POST's answer to confirmed, p99", answer["watchedWait"]["p99"], "ms")
    report.details["intake"] = answer


def overload(url: str, processes: ProcessGroup, load: LoadClient, plan: Plan, report: Report) -> None:
    """As `dexexec.bench.scenarios.overload.overload`, by the orders that are followed."""
    peak = _closed(url, load, plan, CLIENTS, seconds=plan.window_seconds)
    if not peak["watchedConfirmed"]:
        report.faults.append("overload: no order was confirmed")
        return
    capacity = peak["accepted"] / peak["watchedUntil"]
    answer = load.do(
        "paced", url, plan.overload_seconds + plan.drain_seconds + measure.SLACK_SECONDS,
        rate=2 * capacity, seconds=plan.overload_seconds, clients=256, follow_every=WATCH_EVERY, by_message=False,
        patience=plan.drain_seconds,
    )  # fmt: skip
    measure.tell(report, "overload", answer)
    done = answer["confirmedInTime"] / answer["followed"] if answer["followed"] else 0.0
    goodput = done * answer["accepted"] / plan.overload_seconds
    refused = sum(n for status, n in answer["statuses"].items() if status in {"429", "503"})
    report.add("overload.peak", "peak", capacity, "orders/s")
    report.add("overload.goodput", "goodput at 2x the peak", goodput, "orders/s", "overload.peak")
    report.add("overload.refused", "refused with 503 or 429", refused / answer["intended"] * 100, "%")
    report.add("overload.post_p99", "accepted orders: POST p99", answer["post"]["p99"], "ms")
    report.add("overload.confirmed_p99", "accepted orders: POST to confirmed p99", answer["confirmed"]["p99"], "ms")
    report.details["overload"] = answer


def _closed(
    url: str, load: LoadClient, plan: Plan, clients: int, *, seconds: float, backoff: float = 0.1
) -> dict[str, Any]:
    return load.do(
        "closed", url, seconds + plan.drain_seconds + measure.SLACK_SECONDS,
        clients=clients, seconds=seconds, backoff=backoff, watch_every=WATCH_EVERY, patience=plan.drain_seconds,
    )  # fmt: skip


def _accepted(answer: dict[str, Any]) -> float:
    return float(answer["acceptedInTime"] / answer["seconds"])


def _check(report: Report, where: str, answer: dict[str, Any]) -> None:
    measure.tell(report, where, answer)
    left = answer["watched"] - answer["watchedConfirmed"]
    if left:
        report.faults.append(f"{where}: {left} of {answer['watched']} followed orders were not heard to be confirmed")
    for fault, count in answer["watchedFaults"].items():
        report.faults.append(f"{where}: {count} x {fault}")


def bare(url: str, processes: ProcessGroup, load: LoadClient, plan: Plan, report: Report) -> None:
    """The bare server beside it; what its Postgres and Redis could do only they know who run them."""
    baselines.bare(processes, load, plan, report)


PARTS_BY_NAME = {
    "primitives": bare,
    "throughput": throughput,
    "latency": latencies,
    "intake": intake,
    "overload": overload,
}
