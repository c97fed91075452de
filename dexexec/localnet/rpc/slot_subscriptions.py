"""The subscriptions to slots: new blocks (`slotSubscribe`), finalized ones (`rootSubscribe`), and all steps of each
(`slotsUpdatesSubscribe`)."""

import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.ledger import ChainEvent
from dexexec.localnet.rpc.notifier import Notifier
from dexexec.localnet.rpc.request import Call, Node
from dexexec.localnet.rpc.subscription_group import SubscriptionGroup


class BlockSubscriptions(SubscriptionGroup[None]):
    """Subscriptions that are notified when the newest block of any commitment changes."""

    def __init__(self, node: Node, notifier: Notifier) -> None:
        super().__init__(node, notifier)
        self._seen = self._views()

    def read(self, call: Call) -> None:
        """They have no parameters."""

    def add(self, number: int, subscription: None) -> None:
        """Opens a subscription, which begins with the next block."""
        if not self.open:
            self._seen = self._views()
        super().add(number, subscription)

    def on_change(self, event: ChainEvent) -> None:
        """Notifies of new blocks."""
        before, now = self._seen, self._views()
        tip = Commitment.PROCESSED
        # A node that begins to lag shows nothing new for a while.
        lags = now[tip].height < before[tip].height and not event.forked
        if event.landed is not None or lags:
            return
        self._seen = now
        results = list(self.results(before, now))
        for number in self.open:
            for result in results:
                self.notify(number, result)

    @abstractmethod
    def results(self, before: dict[Commitment, Block], now: dict[Commitment, Block]) -> Iterator[Any]:
        """What to notify of, from the newest blocks of each commitment `before` and `now`."""

    def _views(self) -> dict[Commitment, Block]:
        return {commitment: self.node.block(commitment) for commitment in Commitment}


class SlotSubscriptions(BlockSubscriptions):
    """One notification for each block that the node has seen."""

    kind = "slot"

    def results(self, before: dict[Commitment, Block], now: dict[Commitment, Block]) -> Iterator[Any]:
        """The new block, with its parent and the newest finalized one."""
        parent, tip = before[Commitment.PROCESSED], now[Commitment.PROCESSED]
        if tip != parent:
            yield {"slot": tip.slot, "parent": parent.slot, "root": now[Commitment.FINALIZED].slot}


class RootSubscriptions(BlockSubscriptions):
    """One notification for each finalized block."""

    kind = "root"

    def results(self, before: dict[Commitment, Block], now: dict[Commitment, Block]) -> Iterator[Any]:
        """The slots that were finalized."""
        root = now[Commitment.FINALIZED].slot
        yield from self.node.ledger.archive.slots(before[Commitment.FINALIZED].slot + 1, root, root)


class SlotsUpdatesSubscriptions(BlockSubscriptions):
    """A notification for each step of a block, with its time in milliseconds."""

    kind = "slotsUpdates"

    def results(self, before: dict[Commitment, Block], now: dict[Commitment, Block]) -> Iterator[Any]:
        """The steps that happened, in the order in which a validator has them."""
        timestamp = round(time.time() * 1_000)
        parent, tip = before[Commitment.PROCESSED], now[Commitment.PROCESSED]
        if tip != parent:
            # The block before is complete: from now on transactions land in the new one.
            yield {"type": "completed", "slot": parent.slot, "timestamp": timestamp}
            yield {"type": "frozen", "slot": parent.slot, "timestamp": timestamp, "stats": self._stats(parent.slot)}
            yield {"type": "firstShredReceived", "slot": tip.slot, "timestamp": timestamp}
            yield {"type": "createdBank", "slot": tip.slot, "parent": parent.slot, "timestamp": timestamp}
        for commitment, step in (
            (Commitment.CONFIRMED, "optimisticConfirmation"),
            (Commitment.FINALIZED, "root"),
        ):
            newest = now[commitment].slot
            for slot in self.node.ledger.archive.slots(before[commitment].slot + 1, newest, newest):
                yield {"type": step, "slot": slot, "timestamp": timestamp}

    def _stats(self, slot: int) -> dict[str, int]:
        landed = self.node.ledger.between(slot, slot)
        failed = sum(transaction.err is not None for transaction in landed)
        return {
            "numTransactionEntries": len(landed),
            "numSuccessfulTransactions": len(landed) - failed,
            "numFailedTransactions": failed,
            "maxTransactionsPerEntry": min(1, len(landed)),
        }
