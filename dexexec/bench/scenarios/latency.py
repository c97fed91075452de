"""From POST to the `confirmed` message on a WebSocket, at rates that do not depend on how fast the answers come."""

from dexexec.bench import measure
from dexexec.bench.environment import BenchServers
from dexexec.bench.plan import Plan
from dexexec.bench.report import Report

CLIENTS = 64
WARM_CLIENTS = 8
SOCKETS = 100


def run(servers: BenchServers, plan: Plan, report: Report) -> None:
    """Each rate in turn, in the all-in-one process, on sockets that are open before. Raises `BenchError`."""
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        measure.warm(sandbox, service, plan, WARM_CLIENTS)
        for rate in plan.rates:
            found = measure.load(
                sandbox, service, plan, "paced",
                seconds=plan.rate_seconds, rate=rate, clients=CLIENTS, follow_every=1, sockets=SOCKETS,
            )  # fmt: skip
            where = f"{rate}/s"
            measure.check(report, sandbox, where, found)
            add(report, rate, found.answer)
        service.stop()


def add(report: Report, rate: int, answer: dict[str, object]) -> None:
    """The figures of one rate, and its faults."""
    where, confirmed = f"{rate}/s", answer["confirmed"]
    assert isinstance(confirmed, dict)  # noqa: S101 - a summary
    for name in ("p50", "p99", "p999"):
        words = name if name != "p999" else "p99.9"
        report.add(f"latency.{rate}.{name}", f"POST to confirmed at {where}, {words}", confirmed[name], "ms")
    if answer["unconfirmed"] or answer["unsent"]:
        report.faults.append(
            f"{where}: of {answer['intended']} orders {answer['unconfirmed']} were not heard to be confirmed, "
            f"{answer['unsent']} could not be sent in time"
        )
    report.details[f"latency.{rate}"] = answer
