"""The parts of a benchmark of our own service, by name."""

from collections.abc import Callable

from dexexec.bench import crowd, fanout, latency, memory, past, primitives, throughput
from dexexec.bench.ground import Ground
from dexexec.bench.plan import Plan
from dexexec.bench.report import Report

PARTS_BY_NAME: dict[str, Callable[[Ground, Plan, Report], None]] = {
    "primitives": primitives.run,
    "throughput": throughput.run,
    "latency": latency.run,
    "fanout": fanout.run,
    "memory": memory.run,
    "intake": crowd.intake,
    "overload": crowd.overload,
    "history": past.run,
}
