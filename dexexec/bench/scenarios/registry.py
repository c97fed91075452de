"""The parts of a benchmark of our own service, by name."""

from collections.abc import Callable

from dexexec.bench.environment import BenchServers
from dexexec.bench.plan import Plan
from dexexec.bench.report import Report
from dexexec.bench.scenarios import baselines, fanout, history, latency, memory, overload, throughput

PARTS_BY_NAME: dict[str, Callable[[BenchServers, Plan, Report], None]] = {
    "primitives": baselines.run,
    "throughput": throughput.run,
    "latency": latency.run,
    "fanout": fanout.run,
    "memory": memory.run,
    "intake": overload.intake,
    "overload": overload.overload,
    "history": history.run,
}
