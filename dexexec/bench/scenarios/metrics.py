"""What the metrics cost: the same load on a service with them and on one without, again and again in turns."""

from statistics import median

from dexexec.bench import load_run, metric_calls
from dexexec.bench.load_run import LoadResult
from dexexec.bench.processes import Service
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchSandbox, BenchServers

CLIENTS = 64


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Compare both services. Raises `BenchError`."""
    with servers.sandbox() as with_metrics, servers.sandbox() as without:
        # Both run all the time, each on a database of its own: a start would weigh more than what is compared.
        measured = [
            ("with metrics", with_metrics, with_metrics.service(DEXEXEC_METRICS="true")),
            ("without", without, without.service(DEXEXEC_METRICS="false")),
        ]
        for _, sandbox, service in measured:
            load_run.warm_up(sandbox, service, profile, CLIENTS)
        cpu: list[float] = []
        costs: list[float] = []
        rates: list[float] = []
        for number in range(profile.metrics_rounds):
            # Each pair in the other order than the one before: a machine that gets slower or faster favours neither.
            turn = measured if number % 2 == 0 else measured[::-1]
            results = {name: _load(name, sandbox, service, profile, report) for name, sandbox, service in turn}
            first, second = results["with metrics"], results["without"]
            if first.cpu_per_order and second.cpu_per_order:
                cpu.append(first.cpu_per_order / second.cpu_per_order)
                costs.append(second.cpu_per_order)
            rates.append(first.counts.rate / second.counts.rate)
        for _, _, service in measured:
            service.stop()
    own = metric_calls.seconds_per_order()
    share = own * 1000 / median(costs) * 100 if costs else None
    report.add("metrics.calls", "CPU of all that is counted for an order", own * 1e6, "us")
    report.add("metrics.share", "the same, of the CPU per order without metrics", share, "%")
    report.add("metrics.cpu", "CPU per order with metrics, to that without", median(cpu) if cpu else None, "x")
    report.add("metrics.rate", "end to end with metrics, to that without", median(rates), "x")
    report.details["metrics"] = {"cpu": cpu, "rate": rates}


def _load(where: str, sandbox: BenchSandbox, service: Service, profile: Profile, report: Report) -> LoadResult:
    result = load_run.run_load(
        sandbox, service, profile, "closed_loop",
        seconds=profile.metrics_seconds, clients=CLIENTS, backoff=load_run.BACKOFF_SECONDS,
    )  # fmt: skip
    load_run.require_orders(result, where)
    load_run.compare_with_database(report, sandbox, where, result)
    return result
