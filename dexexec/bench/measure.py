"""One load on a service of our own, from the warm-up to the last check.

The warm-up runs until every one of its orders has ended, so that the load that counts begins with nothing waiting.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dexexec.bench.database_checks import Outcome
from dexexec.bench.environment import BenchSandbox
from dexexec.bench.plan import Plan
from dexexec.bench.process_usage import Meter, server_pids
from dexexec.bench.processes import BenchError, Service
from dexexec.bench.report import Report

BACKOFF_SECONDS = 0.1
OURS = "dexexec"
SLACK_SECONDS = 60.0
BUSY = 0.9
"""Share of a core from which the load client counts as the bottleneck."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the client saw, what the record says, and what the processes used (CPU seconds by name)."""

    answer: dict[str, Any]
    outcome: Outcome
    since: datetime
    wal_bytes: int
    cpu: dict[str, float]

    @property
    def accepted(self) -> float:
        """Orders per second that were answered 202 inside the window, by the client's clock."""
        return float(self.answer["acceptedInTime"] / self.answer["seconds"])

    @property
    def cpu_per_order(self) -> float | None:
        """Milliseconds of the service's own processes; None where the system does not tell."""
        used = [seconds for name, seconds in self.cpu.items() if name.startswith(OURS)]
        return sum(used) * 1000 / self.outcome.orders if used and self.outcome.orders else None

    def details(self) -> dict[str, object]:
        """For the JSON."""
        orders = self.outcome.orders
        return {
            "client": self.answer,
            "orders": orders,
            "seconds": self.outcome.seconds,
            "walBytesPerOrder": round(self.wal_bytes / orders) if orders else None,
            "cpuMsPerOrder": {name: round(used * 1000 / orders, 4) for name, used in self.cpu.items() if orders},
        }


def closed(
    sandbox: BenchSandbox,
    service: Service,
    plan: Plan,
    *,
    clients: int,
    seconds: float,
    backoff: float = BACKOFF_SECONDS,
) -> Measured:
    """A closed loop of so many clients, after its warm-up. Raises `BenchError`."""
    warm(sandbox, service, plan, clients)
    return load(sandbox, service, plan, "closed", seconds=seconds, clients=clients, backoff=backoff)


def warm(sandbox: BenchSandbox, service: Service, plan: Plan, clients: int) -> None:
    """A load that does not count."""
    seconds = plan.warm_seconds
    sandbox.load.do(
        "closed", service.url, seconds + SLACK_SECONDS, clients=clients, seconds=seconds, backoff=BACKOFF_SECONDS
    )


def load(sandbox: BenchSandbox, service: Service, plan: Plan, kind: str, *, seconds: float, **job: object) -> Measured:
    """Run a job once nothing is left of the one before, and wait until nothing is left of it either."""
    drained(sandbox, plan)
    meter = Meter({**service.pids(), **server_pids(sandbox.address, sandbox.redis_url)})
    since, written = sandbox.record.now(), sandbox.record.written()
    answer = sandbox.load.do(kind, service.url, seconds + SLACK_SECONDS, seconds=seconds, **job)
    drained(sandbox, plan)
    used, written = meter.read(), sandbox.record.written() - written
    return Measured(answer, sandbox.record.outcome(since, seconds), since, written, used)


def drained(sandbox: BenchSandbox, plan: Plan) -> None:
    """Wait until every order has ended. Raises `BenchError`."""
    sandbox.processes.wait(sandbox.record.idle, plan.drain_seconds, "the last orders to end")


def check(report: Report, sandbox: BenchSandbox, where: str, measured: Measured) -> None:
    """The client's counts against the record. What does not agree is a fault."""
    answer, outcome = measured.answer, measured.outcome
    beyond = outcome.orders - answer["accepted"]
    if not 0 <= beyond <= answer["unanswered"]:
        report.faults.append(f"{where}: {answer['accepted']} orders were accepted, {outcome.orders} are on record")
    if outcome.confirmed != outcome.orders:
        report.faults.append(f"{where}: {outcome.orders - outcome.confirmed} orders are not confirmed")
    swaps, twice, gaps = sandbox.record.doubles(measured.since)
    if swaps or twice or gaps:
        report.faults.append(
            f"{where}: {swaps} swaps too many, {twice} orders landed twice, {gaps} histories with gaps"
        )
    tell(report, where, answer)


def tell(report: Report, where: str, answer: dict[str, Any]) -> None:
    """What the client met besides answers, and whether it was fast enough itself."""
    for fault, count in {**answer["faults"], **answer.get("followFaults", {})}.items():
        report.faults.append(f"{where}: {count} x {fault}")
    refused = {status: n for status, n in answer["statuses"].items() if not status.startswith("2")}
    for status, count in refused.items():
        text = f"{where}: {count} of {sum(answer['statuses'].values())} answers were HTTP {status}"
        (report.notes if status in {"429", "503"} else report.faults).append(text)
    if answer["unanswered"]:
        report.faults.append(f"{where}: {answer['unanswered']} requests were not answered")
    if answer["clientCpu"] > BUSY:
        report.notes.append(f"{where}: the load client used {answer['clientCpu']:.0%} of a core and may be the limit")


def require_orders(measured: Measured, where: str) -> None:
    """Raises `BenchError` when there is nothing to speak of."""
    if not measured.outcome.confirmed:
        raise BenchError(f"{where}: no order was confirmed (answers: {measured.answer['statuses']})")
