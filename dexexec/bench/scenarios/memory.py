"""Memory and CPU when idle, memory with idle sockets, and the time to import the service."""

import subprocess
import sys
import tempfile
import time

from dexexec.bench.process_usage import CpuMeter, pss_and_rss, server_pids
from dexexec.bench.processes import SOURCES, BenchError
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchSandbox, BenchServers, plain_environment

MIB = 1024 * 1024
SOCKETS_SECONDS = 120.0


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure the three. Raises `BenchError`."""
    report.add("memory.import", "start of an interpreter with all imports", _import_seconds(), "s")
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        [child] = service.children
        # What a start needs only for a moment is released by then.
        sandbox.processes.sleep(profile.idle_seconds / 2)
        _add_memory(report, "rest", "idle", child.pid, sandbox)
        meter = CpuMeter({"service": [child.pid]})
        begun = time.monotonic()
        sandbox.processes.sleep(profile.idle_seconds)
        used = meter.read().get("service")
        took = time.monotonic() - begun
        report.add("memory.idle_cpu", "CPU when idle", None if used is None else used / took * 100, "% of a core")
        before = pss_and_rss(child.pid)
        opened = sandbox.load.run_job("open_sockets", service.url, SOCKETS_SECONDS, count=profile.idle_sockets)
        sandbox.processes.sleep(min(1.0, profile.idle_seconds))
        after = pss_and_rss(child.pid)
        name = f"with {profile.idle_sockets:,} idle sockets"
        _add_memory(report, "sockets", name, child.pid, sandbox)
        # RSS and not PSS: the share of memory that other processes have in common would change meanwhile.
        per_socket = (after[1] - before[1]) / profile.idle_sockets if before and after else None
        report.add("memory.per_socket", "per idle socket", per_socket, "bytes")
        report.details["memory"] = {"opened": opened}
        sandbox.load.run_job("close_sockets", service.url, SOCKETS_SECONDS)
        service.stop()


def _add_memory(report: Report, key: str, where: str, pid: int, sandbox: BenchSandbox) -> None:
    groups = {"service": [pid], **server_pids(sandbox.address, sandbox.redis_url)}
    for name, pids in groups.items():
        sizes = [size for process in pids if (size := pss_and_rss(process)) is not None]
        pss = sum(size[0] for size in sizes) / MIB if sizes else None
        rss = sum(size[1] for size in sizes) / MIB if sizes else None
        report.add(f"memory.{key}.{name}.pss", f"{name}, {where}, PSS", pss, "MiB")
        # The processes of Postgres share most of their memory, so a sum of resident sizes would count it many times.
        if name == "service":
            report.add(f"memory.{key}.{name}.rss", f"{name}, {where}, RSS", rss, "MiB")


def _import_seconds() -> float:
    """The best of three imports in a new process, with compiled bytecode as after an installation."""
    best = float("inf")
    with tempfile.TemporaryDirectory(prefix="dxb") as compiled:
        environment = plain_environment() | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONPATH": str(SOURCES)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        # The first of the four compiles the bytecode, so it is never the best.
        for _ in range(4):
            begun = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", "import dexexec.bootstrap.service"], env=environment, check=False
            )
            if done.returncode:
                raise BenchError(f"import dexexec.bootstrap.service ended with status {done.returncode}")
            best = min(best, time.perf_counter() - begun)
    return best
