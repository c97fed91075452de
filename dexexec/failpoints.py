"""Named places between two effects, where a test can kill, stop or fail the process."""

from enum import StrEnum
from typing import Protocol


class Failpoint(StrEnum):
    """The places, in the order in which an order passes them."""

    # intake
    CREATING = "creating"  # the order may pass; nothing is stored
    CREATED = "created"  # order and event 1 are committed; the client does not know, and it is on no queue
    ENQUEUING = "enqueuing"  # before ids go on the stream
    ENQUEUED = "enqueued"  # after
    # worker
    LEASED = "leased"  # stream entries are ours and pending; no order is claimed
    CLAIMED = "claimed"  # claims are committed; nobody works on them
    TAKEN = "taken"  # a new order is committed with our claim, past the queue; nobody works on it
    ACKNOWLEDGING = "acknowledging"  # before claimed entries leave the stream, beside the work on their orders
    ACKNOWLEDGED = "acknowledged"  # after
    # pipeline and settlement
    QUOTED = "quoted"  # venues have answered; nothing is written
    CHOSEN = "chosen"  # the winner is known; nothing is built
    SIGNED = "signed"  # signed bytes exist, in memory only
    RECORDED = "recorded"  # the attempt is committed; nothing was sent
    SENDING = "sending"  # the lease was good a moment ago; before the bytes go out
    SENT = "sent"  # after; their fate is open
    PROVEN = "proven"  # the fate is known here and nowhere else
    CONCLUDED = "concluded"  # it is committed: the order has ended, or rests before the next round
    # watcher
    WATCHING = "watching"  # a page of confirmed orders is taken; the chain is not asked yet
    WATCHED = "watched"  # which of them are final, or taken back, is known here and nowhere else
    BOOKED = "booked"  # that is committed; what was taken back is on no queue yet
    # worker, afterwards
    RETRYING = "retrying"  # an order that rested is due, and on no queue
    RETRIED = "retried"  # it is on the queue
    RELEASING = "releasing"  # before an order that cannot be gone on with is handed back
    RELEASED = "released"  # it is free in Postgres; Redis does not know
    # sweeper
    RECLAIMED = "reclaimed"  # a dead worker's stream entries are ours and pending
    REMOVED = "removed"  # they are off the stream, and not on it again yet
    # events
    ANNOUNCING = "announcing"  # events are committed; before they are published
    HEARD = "heard"  # an announcement has arrived; no socket has it


class Failpoints(Protocol):
    """What a part with failpoints is given by its constructor."""

    async def reach(self, name: Failpoint) -> None:
        """Called at each failpoint. A test's implementation may kill the process, raise or wait here."""


class _NoFailpoints:
    """For production: nothing happens."""

    async def reach(self, name: Failpoint) -> None:
        """Return at once."""


NO_FAILPOINTS: Failpoints = _NoFailpoints()
