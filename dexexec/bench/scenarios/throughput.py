"""Orders per second: accepted, and through the whole way. Closed loop, as fast as the service answers."""

from dexexec.bench import measure
from dexexec.bench.environment import BenchServers
from dexexec.bench.plan import Plan
from dexexec.bench.report import Report

LAYOUTS = {"all": ("all",), "apart": ("api", "worker"), "double": ("all --processes 2",)}
NAMES = {"all": "one process", "apart": "api + worker", "double": "two processes"}


def run(servers: BenchServers, plan: Plan, report: Report) -> None:
    """Each layout with each number of clients, on a database of its own. Raises `BenchError`."""
    for layout, roles in LAYOUTS.items():
        with servers.sandbox() as sandbox:
            service = sandbox.service(*roles)
            for clients in plan.clients:
                where = f"{NAMES[layout]}, {clients} clients"
                found = measure.closed(sandbox, service, plan, clients=clients, seconds=plan.window_seconds)
                measure.require_orders(found, where)
                measure.check(report, sandbox, where, found)
                key = f"throughput.{layout}.{clients}"
                bare = f"primitives.bare_post.{clients}"
                report.add(f"{key}.accepted", f"accepted, {where}", found.accepted, "orders/s", bare)
                report.add(f"{key}.whole_way", f"whole way, {where}", found.outcome.rate, "orders/s", bare)
                report.add(f"{key}.post_p99", f"POST p99, {where}", found.answer["post"]["p99"], "ms")
                cost = f"primitives.bare_cpu.{clients}"
                report.add(f"{key}.cpu", f"the service's CPU per order, {where}", found.cpu_per_order, "ms", cost)
                report.details[key] = found.details()
            service.stop()
