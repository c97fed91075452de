"""The requests that a service sent to its node, with their times, and how many of them followed one another. Pure.

Times are monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

SEND = "sendTransaction"
CONNECT = "connect"
"""The opening of a connection, which takes a round trip of its own."""


@dataclass(slots=True, kw_only=True)
class NodeRequest:
    """A request: when it left the service, and when its answer reached the service (None: not yet). `payload` is the
    signed transaction of a send, as it was encoded."""

    method: str
    sent_at: float
    answered_at: float | None = None
    payload: str = ""


def first_send(requests: Iterable[NodeRequest], since: float, known: set[str]) -> NodeRequest | None:
    """The first send after `since` of a transaction that is not in `known`."""
    # A transaction of an earlier order may still be sent again.
    sends = (one for one in requests if one.method == SEND and one.sent_at >= since and one.payload not in known)
    return min(sends, key=lambda one: one.sent_at, default=None)


def sequential_round_trips(requests: Iterable[NodeRequest], since: float, until: float) -> int:
    """The largest number of requests that can have been waited for one after the other between two moments.

    A request of the background that lies completely between them counts too, since nothing distinguishes it.
    """
    # An answer that came after `until` was not waited for; a request that was sent before `since` is of the background.
    inside = [one for one in requests if one.sent_at >= since and one.answered_at is not None]
    ended = sorted((one.answered_at, one.sent_at) for one in inside if one.answered_at <= until)  # type: ignore[operator]
    count = 0
    free_from = since
    # The classic schedule: the request that ends first leaves the most room for others after it.
    for answered_at, sent_at in ended:
        if sent_at >= free_from:
            count += 1
            free_from = answered_at or since
    return count
