"""Orders per second, accepted and end to end, with clients that post as fast as they are answered."""

from dexexec.bench import load_run
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchServers

LAYOUTS = {"all": ("all",), "apart": ("api", "worker"), "double": ("all --processes 2",)}
NAMES = {"all": "one process", "apart": "api + worker", "double": "two processes"}


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure each layout with each number of clients. Raises `BenchError`."""
    for layout, roles in LAYOUTS.items():
        # A new database for each layout: the orders of the previous one would make it slower.
        with servers.sandbox() as sandbox:
            service = sandbox.service(*roles)
            for clients in profile.clients:
                where = f"{NAMES[layout]}, {clients} clients"
                result = load_run.run_closed_loop(
                    sandbox, service, profile, clients=clients, seconds=profile.window_seconds
                )
                load_run.require_orders(result, where)
                load_run.compare_with_database(report, sandbox, where, result)
                key = f"throughput.{layout}.{clients}"
                bare = f"primitives.bare_post.{clients}"
                report.add(f"{key}.accepted", f"accepted, {where}", result.accepted, "orders/s", bare)
                report.add(f"{key}.whole_way", f"end to end, {where}", result.counts.rate, "orders/s", bare)
                report.add(f"{key}.post_p99", f"POST p99, {where}", result.answer["post"]["p99"], "ms")
                cost = f"primitives.bare_cpu.{clients}"
                report.add(f"{key}.cpu", f"CPU of the service per order, {where}", result.cpu_per_order, "ms", cost)
                report.details[key] = result.details()
            service.stop()
