"""The parts of a benchmark of a service that the benchmark starts itself, by name."""

from collections.abc import Callable

from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchServers
from dexexec.bench.scenarios import (
    baselines,
    fanout,
    history,
    latency,
    memory,
    metrics,
    overload,
    resting,
    throughput,
    venues,
)

SCENARIOS: dict[str, Callable[[BenchServers, Profile, Report], None]] = {
    "primitives": baselines.run,
    "throughput": throughput.run,
    "metrics": metrics.run,
    "latency": latency.run,
    "venues": venues.run,
    "fanout": fanout.run,
    "memory": memory.run,
    "intake": overload.intake,
    "overload": overload.overload,
    "resting": resting.run,
    "history": history.run,
}
