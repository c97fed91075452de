"""Counts requests to nodes by outcome, for the metrics."""

from typing import Protocol

from dexexec.settlement.solana.rpc.node_errors import (
    MethodUnsupportedError,
    NodeBehindError,
    NodeRateLimitedError,
    NodeRefusedError,
)

OK = "ok"


class RequestMeter(Protocol):
    """Receives the outcome of every request to a node, by the node's name."""

    def node_answered(self, node: str, method: str, outcome: str, seconds: float) -> None:
        """A request ended after `seconds`."""

    def node_not_asked(self, node: str) -> None:
        """A request was not sent, since the budget had nothing left in time."""


class NoMeter:
    """For chains that nobody measures."""

    def node_answered(self, node: str, method: str, outcome: str, seconds: float) -> None:
        """Ignore it."""

    def node_not_asked(self, node: str) -> None:
        """Ignore it."""


def outcome_of(error: Exception) -> str:
    """The outcome of a request that raised `error`, as a label of few values."""
    match error:
        case NodeRefusedError():
            return "refused"
        case NodeRateLimitedError():
            return "rate-limited"
        case NodeBehindError():
            return "behind"
        case MethodUnsupportedError():
            return "unsupported"
    return "failed"
