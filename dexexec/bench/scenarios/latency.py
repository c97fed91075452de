"""The time from POST to the `confirmed` message on a WebSocket, at fixed rates."""

from dexexec.bench import load_run
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchServers

CLIENTS = 64
WARM_CLIENTS = 8
SOCKETS = 100


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure each rate with one process, on sockets that were opened before. Raises `BenchError`."""
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        load_run.warm_up(sandbox, service, profile, WARM_CLIENTS)
        for rate in profile.rates:
            result = load_run.run_load(
                sandbox, service, profile, "open_loop",
                seconds=profile.rate_seconds, rate=rate, clients=CLIENTS, follow_every=1, sockets=SOCKETS,
            )  # fmt: skip
            where = f"{rate}/s"
            load_run.compare_with_database(report, sandbox, where, result)
            add(report, rate, result.answer)
        service.stop()


def add(report: Report, rate: int, answer: dict[str, object]) -> None:
    """Add the figures and faults of one rate."""
    where = f"{rate}/s"
    confirmed = answer["confirmed"]
    assert isinstance(confirmed, dict)  # noqa: S101 - a summary
    for name, shown in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
        report.add(f"latency.{rate}.{name}", f"POST to confirmed at {where}, {shown}", confirmed[name], "ms")
    if answer["unconfirmed"] or answer["unsent"]:
        report.faults.append(
            f"{where}: of {answer['intended']} orders, {answer['unconfirmed']} had no `confirmed` message and"
            f" {answer['unsent']} could not be sent in time"
        )
    report.details[f"latency.{rate}"] = answer
