"""The log events of orders that rest, and of what follows when one of them ends: a part of `Observer`."""

from collections.abc import Sequence
from uuid import UUID

from dexexec.observe.log import Logger
from dexexec.observe.metrics import Metrics


class RestingEvents:
    """Logs the events of the leader's duties."""

    def __init__(self, log: Logger, metrics: Metrics) -> None:
        self.log = log
        self.metrics = metrics

    def duty_failed(self, name: str, error: BaseException) -> None:
        """A bug interrupted something that the leader does for resting orders. The next turn repeats it."""
        self.log.error("looking after resting orders failed", duty=name, exc_info=error)

    def launch_watch_failed(self, venue: str, mint: str, why: str) -> None:
        """A venue does not report the new pools of a mint. It is watched again after a pause."""
        self.log.warning("the watch of new pools failed", venue=venue, mint=mint, why=why)

    def launch_refused(self, venue: str, mint: str, why: str) -> None:
        """An adapter reported a pool that cannot be right. It is ignored."""
        self.log.error("a reported pool cannot be right", venue=venue, mint=mint, why=why)

    def order_unwatchable(self, order_id: UUID, why: str) -> None:
        """A resting order cannot be watched, so it is not triggered."""
        self.log.error("a resting order cannot be watched", order=str(order_id), why=why)

    def reference_misbehaved(self, reference: str, error: BaseException) -> None:
        """A reference price raised an undocumented error or is invalid. It counts as not agreeing."""
        self.log.error("reference price misbehaved", reference=reference, exc_info=error)

    def order_rests(self, order_id: UUID, reason: str, quiet_ms: int) -> None:
        """A triggered order could not be filled within its limit, and waits for its price again."""
        self.log.info("order rests again", order=str(order_id), reason=reason, quiet_ms=quiet_ms)

    def group_filled(self, order_id: UUID, cancelled: int) -> None:
        """An order was filled, and the others of its group were cancelled."""
        self.log.info("the group of an order was filled", order=str(order_id), cancelled=cancelled)

    def group_member_late(self, order_id: UUID) -> None:
        """An order came when its group had been filled, and was cancelled."""
        self.log.info("order cancelled, since its group was filled before", order=str(order_id))

    def group_filled_twice(self, order_id: UUID, others: Sequence[UUID]) -> None:
        """Several orders of one group were filled: a promise is broken, and a person must settle the difference."""
        self.log.critical(
            "more than one order of a group was filled", order=str(order_id), others=[str(one) for one in others],
            hint="a node reported a wrong height or history: check the nodes, and configure more than one",
        )  # fmt: skip
        self.metrics.order_faulted("group-filled-twice")

    def bracket_armed(self, order_id: UUID, exits: int) -> None:
        """The fill of an order armed its exits."""
        self.log.info("the exits of an order are armed", order=str(order_id), exits=exits)

    def bracket_not_armed(self, order_id: UUID, mints: Sequence[str]) -> None:
        """The exits of an order cannot be made: what it received is not protected."""
        self.log.error(
            "the exits of an order cannot be armed", order=str(order_id), mints=list(mints),
            hint="a mint of its pair is not configured any more: add it to DEXEXEC_TOKENS",
        )  # fmt: skip
        self.metrics.order_faulted("bracket-not-armed")
