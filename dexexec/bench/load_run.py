"""Runs one load on a service that the benchmark started, from the warm-up to the comparison with the database.

The warm-up lasts until every one of its orders has ended, so that the measured load starts with an empty queue.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dexexec.bench.database import OrderCounts
from dexexec.bench.process_usage import CpuMeter, server_pids
from dexexec.bench.processes import BenchError, Service
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchSandbox

BACKOFF_SECONDS = 0.1
SERVICE_PREFIX = "dexexec"
"""What the names of the service's processes begin with."""
SLACK_SECONDS = 60.0
"""How much longer than its load a job of the load client may take."""
BUSY_SHARE = 0.9
"""The share of a core from which the load client counts as the bottleneck."""
REFUSED = {"429", "503"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The client's figures, the database's counts, and what the processes used (CPU seconds by name)."""

    answer: dict[str, Any]
    counts: OrderCounts
    since: datetime
    wal_bytes: int
    cpu: dict[str, float]

    @property
    def accepted(self) -> float:
        """Orders per second that were answered 202 inside the window, by the client's clock."""
        return float(self.answer["acceptedInTime"] / self.answer["seconds"])

    @property
    def cpu_per_order(self) -> float | None:
        """Milliseconds that the service's processes used per order. None where the system does not provide it."""
        used = [seconds for name, seconds in self.cpu.items() if name.startswith(SERVICE_PREFIX)]
        return sum(used) * 1000 / self.counts.orders if used and self.counts.orders else None

    def details(self) -> dict[str, object]:
        """The result as it appears in the JSON."""
        orders = self.counts.orders
        return {
            "client": self.answer,
            "orders": orders,
            "seconds": self.counts.seconds,
            "walBytesPerOrder": round(self.wal_bytes / orders) if orders else None,
            "cpuMsPerOrder": {name: round(used * 1000 / orders, 4) for name, used in self.cpu.items() if orders},
        }


def run_closed_loop(
    sandbox: BenchSandbox,
    service: Service,
    profile: Profile,
    *,
    clients: int,
    seconds: float,
    backoff: float = BACKOFF_SECONDS,
) -> LoadResult:
    """Run a closed loop after its warm-up. Raises `BenchError`."""
    warm_up(sandbox, service, profile, clients)
    return run_load(sandbox, service, profile, "closed_loop", seconds=seconds, clients=clients, backoff=backoff)


def warm_up(sandbox: BenchSandbox, service: Service, profile: Profile, clients: int) -> None:
    """Run a load that is not measured."""
    seconds = profile.warm_seconds
    sandbox.load.run_job(
        "closed_loop", service.url, seconds + SLACK_SECONDS, clients=clients, seconds=seconds, backoff=BACKOFF_SECONDS
    )


def run_load(
    sandbox: BenchSandbox, service: Service, profile: Profile, kind: str, *, seconds: float, **job: object
) -> LoadResult:
    """Run a job of the load client once all earlier orders have ended, and wait until all of its orders have ended."""
    wait_until_drained(sandbox, profile)
    meter = CpuMeter({**service.pids(), **server_pids(sandbox.address, sandbox.redis_url)})
    since = sandbox.database.now()
    wal_before = sandbox.database.wal_bytes()
    answer = sandbox.load.run_job(kind, service.url, seconds + SLACK_SECONDS, seconds=seconds, **job)
    wait_until_drained(sandbox, profile)
    # CPU and log are read after the drain: the work for an accepted order belongs to its load, whenever it is done.
    # They are read before the orders are counted: that statement reads all rows of the load in Postgres.
    cpu = meter.read()
    wal_bytes = sandbox.database.wal_bytes() - wal_before
    counts = sandbox.database.counts(since, seconds)
    return LoadResult(answer=answer, counts=counts, since=since, wal_bytes=wal_bytes, cpu=cpu)


def wait_until_drained(sandbox: BenchSandbox, profile: Profile) -> None:
    """Wait until every order has ended. Raises `BenchError`."""
    sandbox.processes.wait(sandbox.database.all_ended, profile.drain_seconds, "the last orders to end")


def compare_with_database(report: Report, sandbox: BenchSandbox, where: str, result: LoadResult) -> None:
    """Compare the client's counts with the database. Each difference is a fault."""
    answer = result.answer
    counts = result.counts
    # An order whose answer was lost may be in the database without being in the client's count.
    beyond = counts.orders - answer["accepted"]
    if not 0 <= beyond <= answer["unanswered"]:
        report.faults.append(f"{where}: {answer['accepted']} orders were accepted, the database has {counts.orders}")
    if counts.confirmed != counts.orders:
        report.faults.append(f"{where}: {counts.orders - counts.confirmed} orders are not confirmed")
    superfluous, landed_twice, with_gaps = sandbox.database.doubles(result.since)
    if superfluous or landed_twice or with_gaps:
        report.faults.append(
            f"{where}: {superfluous} superfluous swaps, {landed_twice} orders that landed twice,"
            f" {with_gaps} orders with missing events"
        )
    report_client_faults(report, where, answer)


def report_client_faults(report: Report, where: str, answer: dict[str, Any]) -> None:
    """Report the client's failures and refusals, and whether the client itself was the bottleneck."""
    for fault, count in {**answer["faults"], **answer.get("followFaults", {})}.items():
        report.faults.append(f"{where}: {count} x {fault}")
    errors = {status: count for status, count in answer["statuses"].items() if not status.startswith("2")}
    for status, count in errors.items():
        text = f"{where}: {count} of {sum(answer['statuses'].values())} answers were HTTP {status}"
        (report.notes if status in REFUSED else report.faults).append(text)
    if answer["unanswered"]:
        report.faults.append(f"{where}: {answer['unanswered']} requests were not answered")
    if answer["clientCpu"] > BUSY_SHARE:
        report.notes.append(f"{where}: the load client used {answer['clientCpu']:.0%} of a core and may be the limit")


def refused_percent(answer: dict[str, Any]) -> float:
    """The percentage of the intended orders of an open loop that were refused."""
    refused = sum(count for status, count in answer["statuses"].items() if status in REFUSED)
    return float(refused / answer["intended"] * 100)


def require_orders(result: LoadResult, where: str) -> None:
    """Raises `BenchError` when no order was confirmed, because no figure can be computed then."""
    if not result.counts.confirmed:
        raise BenchError(f"{where}: no order was confirmed (answers: {result.answer['statuses']})")
