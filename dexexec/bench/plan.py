"""How long and how much: the full benchmark and its short form."""

from dataclasses import dataclass

PARTS = ("primitives", "throughput", "latency", "fanout", "memory", "intake", "overload", "history")
"""In the order in which they run: limits first, what fills the disk last."""
FOREIGN_PARTS = ("primitives", "throughput", "latency", "intake", "overload")
"""Those that need nothing of a server but what its API offers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds and counts of each part."""

    warm_seconds: float = 2.0
    window_seconds: float = 8.0
    clients: tuple[int, ...] = (64, 256)
    rates: tuple[int, ...] = (50, 200, 500)
    rate_seconds: float = 15.0
    sockets: tuple[int, ...] = (1_000, 10_000)
    fan_rounds: int = 3
    idle_sockets: int = 10_000
    idle_seconds: float = 5.0
    intake_seconds: float = 30.0
    overload_seconds: float = 15.0
    overload_queue: int | None = None
    history_orders: int = 1_000_000
    primitive_seconds: float = 3.0
    drain_seconds: float = 120.0


QUICK = Plan(
    warm_seconds=0.4,
    window_seconds=1.0,
    clients=(64,),
    rates=(50, 200),
    rate_seconds=1.0,
    sockets=(200,),
    fan_rounds=1,
    idle_sockets=500,
    idle_seconds=0.5,
    intake_seconds=1.5,
    overload_seconds=1.5,
    overload_queue=300,
    history_orders=5_000,
    primitive_seconds=0.6,
    drain_seconds=60.0,
)
