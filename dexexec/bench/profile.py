"""How long and how large each part of the benchmark is: the full form and the quick one."""

from dataclasses import dataclass

PARTS = (
    "primitives", "throughput", "metrics", "latency", "venues", "fanout", "memory", "intake", "overload", "resting",
    "history",
)  # fmt: skip
"""In the order in which they run: the limits first, and what fills the disk last."""
REMOTE_PARTS = ("primitives", "throughput", "latency", "intake", "overload")
"""The parts that need only the server's API, for `--url`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Durations (seconds) and counts of each part. The defaults are the full benchmark."""

    warm_seconds: float = 2.0
    window_seconds: float = 8.0
    clients: tuple[int, ...] = (64, 256)
    metrics_rounds: int = 12
    metrics_seconds: float = 4.0
    rates: tuple[int, ...] = (50, 200, 500)
    rate_seconds: float = 15.0
    rtt_ms: tuple[int, ...] = (0, 30, 100, 300)
    warm_orders: int = 100
    cold_orders: int = 8
    sockets: tuple[int, ...] = (1_000, 10_000)
    fan_rounds: int = 3
    idle_sockets: int = 10_000
    idle_seconds: float = 5.0
    intake_seconds: float = 30.0
    overload_seconds: float = 15.0
    overload_queue: int | None = None
    resting_orders: int = 100_000
    crossed_orders: int = 1_000
    history_orders: int = 1_000_000
    primitive_seconds: float = 3.0
    drain_seconds: float = 120.0


FULL = Profile()
QUICK = Profile(
    warm_seconds=0.4,
    window_seconds=1.0,
    clients=(64,),
    metrics_rounds=1,
    metrics_seconds=0.6,
    rates=(50, 200),
    rate_seconds=1.0,
    rtt_ms=(100,),
    warm_orders=5,
    cold_orders=1,
    sockets=(200,),
    fan_rounds=1,
    idle_sockets=500,
    idle_seconds=0.5,
    intake_seconds=1.5,
    overload_seconds=1.5,
    # The default queue would not fill up within 1.5 s, so nothing would be refused.
    overload_queue=300,
    resting_orders=2_000,
    crossed_orders=100,
    history_orders=5_000,
    primitive_seconds=0.6,
    drain_seconds=60.0,
)
