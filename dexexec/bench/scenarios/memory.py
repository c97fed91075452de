"""Memory and CPU at rest, with sockets that only stand open, and the time from nothing to an imported program."""

import subprocess
import sys
import tempfile
import time

from dexexec.bench.environment import BenchSandbox, BenchServers, plain_environment
from dexexec.bench.plan import Plan
from dexexec.bench.process_usage import Meter, pss_and_rss, server_pids
from dexexec.bench.processes import SOURCES, BenchError
from dexexec.bench.report import Report

MIB = 1024 * 1024
SOCKETS_SECONDS = 120.0


def run(servers: BenchServers, plan: Plan, report: Report) -> None:
    """Raises `BenchError`."""
    report.add("memory.import", "start-up: interpreter and all imports", _import_seconds(), "s")
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        [child] = service.children
        sandbox.processes.sleep(plan.idle_seconds / 2)
        _add(report, "rest", "at rest", child.pid, sandbox)
        meter, begun = Meter({"service": [child.pid]}), time.monotonic()
        sandbox.processes.sleep(plan.idle_seconds)
        used, took = meter.read().get("service"), time.monotonic() - begun
        report.add("memory.idle_cpu", "CPU at rest", None if used is None else used / took * 100, "% of a core")
        before = pss_and_rss(child.pid)
        opened = sandbox.load.do("open", service.url, SOCKETS_SECONDS, count=plan.idle_sockets)
        sandbox.processes.sleep(min(1.0, plan.idle_seconds))
        after = pss_and_rss(child.pid)
        name = f"with {plan.idle_sockets:,} idle sockets"
        _add(report, "sockets", name, child.pid, sandbox)
        each = (after[1] - before[1]) / plan.idle_sockets if before and after else None
        report.add("memory.per_socket", "one idle socket", each, "bytes")
        report.details["memory"] = {"opened": opened}
        sandbox.load.do("close", service.url, SOCKETS_SECONDS)
        service.stop()


def _add(report: Report, key: str, words: str, pid: int, sandbox: BenchSandbox) -> None:
    groups = {"service": [pid], **server_pids(sandbox.address, sandbox.redis_url)}
    for name, pids in groups.items():
        sizes = [size for one in pids if (size := pss_and_rss(one)) is not None]
        pss = sum(size[0] for size in sizes) / MIB if sizes else None
        rss = sum(size[1] for size in sizes) / MIB if sizes else None
        report.add(f"memory.{key}.{name}.pss", f"{name}, {words}, PSS", pss, "MiB")
        if name == "service":
            report.add(f"memory.{key}.{name}.rss", f"{name}, {words}, RSS", rss, "MiB")


def _import_seconds() -> float:
    """The best of three, by a process of its own whose bytecode is compiled already, as after an installation."""
    best = float("inf")
    with tempfile.TemporaryDirectory(prefix="dxb") as compiled:
        environment = plain_environment() | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONPATH": str(SOURCES)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(4):
            begun = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", "import dexexec.bootstrap.service"], env=environment, check=False
            )
            if done.returncode:
                raise BenchError(f"import dexexec.bootstrap.service ended with status {done.returncode}")
            best = min(best, time.perf_counter() - begun)
    return best
