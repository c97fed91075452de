"""Named places between two effects, where a test can kill, stop or fail the process."""

from enum import StrEnum
from typing import Protocol


class Failpoint(StrEnum):
    """The places, in the order in which an order passes them."""

    # Intake
    CREATING = "creating"  # the order was let in; nothing is stored
    CREATED = "created"  # order and event 1 are committed; the client has no answer, the order may be on the queue
    ENQUEUING = "enqueuing"  # before ids go on the stream
    ENQUEUED = "enqueued"  # after that
    # Worker
    LEASED = "leased"  # stream entries are pending for this worker; no order is claimed
    CLAIMED = "claimed"  # claims are committed; no order is executed
    ACKNOWLEDGING = "acknowledging"  # before claimed entries leave the stream, while their orders are executed
    ACKNOWLEDGED = "acknowledged"  # after that
    # Pipeline and settlement
    QUOTED = "quoted"  # venues have answered; nothing is written
    CHOSEN = "chosen"  # the best quote is chosen; nothing is built
    SIMULATED = "simulated"  # a dry run's fill is in memory only
    SIGNED = "signed"  # signed bytes exist, in memory only
    RECORDED = "recorded"  # the attempt is committed; nothing was sent
    SENDING = "sending"  # the lease was valid a moment ago; before the bytes are sent
    SENT = "sent"  # after that; the outcome is open
    PROVEN = "proven"  # the outcome is proven, in memory only
    CONCLUDED = "concluded"  # it is committed: the order has ended, or waits for the next round
    # Finality watcher
    WATCHING = "watching"  # a page of confirmed orders is taken; the chain was not queried
    WATCHED = "watched"  # which of them are final or were taken back is in memory only
    BOOKED = "booked"  # that is committed; what was taken back is on no queue
    # Follow-ups
    FOLLOWING = "following"  # an order of a group, or with a bracket, has ended; nothing is done about the others
    FOLLOWED = "followed"  # that is committed
    # Worker, afterwards
    RETRYING = "retrying"  # a waiting order is due, and on no queue
    RETRIED = "retried"  # it is on the queue
    RELEASING = "releasing"  # before an order is released that cannot be continued
    RELEASED = "released"  # it is free in Postgres, and on no queue
    # Leader
    TRIGGERED = "triggered"  # resting orders are due in Postgres, and on no queue
    # Sweeper
    RECLAIMED = "reclaimed"  # a dead worker's stream entries are pending for the sweeper
    REMOVED = "removed"  # they are off the stream, and not on it again
    # Events
    ANNOUNCING = "announcing"  # events are committed; before they are published
    HEARD = "heard"  # an announcement has arrived; no socket has it
    # Webhooks
    PLANNED = "planned"  # deliveries are committed; nothing was sent
    DELIVERING = "delivering"  # a delivery is claimed; nothing was sent
    ANSWERED = "answered"  # the target has answered; that is in memory only
    DELIVERED = "delivered"  # it is committed


OF_WEBHOOKS = frozenset({Failpoint.PLANNED, Failpoint.DELIVERING, Failpoint.ANSWERED, Failpoint.DELIVERED})
"""No order passes these."""


class Failpoints(Protocol):
    """What a part with failpoints is given by its constructor."""

    async def reach(self, name: Failpoint) -> None:
        """Called at each failpoint. A test's implementation may kill the process, raise or wait here."""


class _NoFailpoints:
    """For production: nothing happens."""

    async def reach(self, name: Failpoint) -> None:
        """Return at once."""


NO_FAILPOINTS: Failpoints = _NoFailpoints()
