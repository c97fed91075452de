"""Traces: one from the POST of an order to its end, over all processes. Without OTEL_* variables they cost nothing.

The order's row keeps the W3C `traceparent` of its request. Each process that works on the order enters that trace,
and each stage that ends becomes a span in it, with the times that were measured anyway.
"""

from collections.abc import Mapping
from typing import Protocol

__all__ = ["NO_TRACER", "NoTracer", "RequestSpan", "Tracer"]

Attributes = Mapping[str, str | int | float | bool]


class RequestSpan(Protocol):
    """The span of a request that posts an order."""

    @property
    def traceparent(self) -> str | None:
        """The W3C `traceparent` under which the order's spans appear; None without a trace."""

    def end(self, status: int, order_id: str = "") -> None:
        """The request was answered."""


class Tracer(Protocol):
    """Records what happens to orders as spans."""

    def request(self, name: str, traceparent: str | None) -> RequestSpan:
        """Begin the span of a request, in the client's trace if it sent a `traceparent`. The current task enters the
        trace."""

    def enter(self, traceparent: str | None) -> None:
        """From now on the stages of the current task belong to this trace (None: to none)."""

    def stage(self, name: str, begun: float, ended: float, *, error: str = "", **about: str | int | bool) -> None:
        """A stage lasted from `begun` to `ended` (monotonic seconds). `error` is why it failed."""


class NoTracer:
    """Records nothing."""

    traceparent: str | None = None

    def request(self, name: str, traceparent: str | None) -> RequestSpan:
        """Nothing."""
        return self

    def end(self, status: int, order_id: str = "") -> None:
        """Nothing."""

    def enter(self, traceparent: str | None) -> None:
        """Nothing."""

    def stage(self, name: str, begun: float, ended: float, *, error: str = "", **about: str | int | bool) -> None:
        """Nothing."""


NO_TRACER = NoTracer()
