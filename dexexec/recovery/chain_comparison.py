"""Compares the record with the chain for one wallet, and restores orders that the record lost.

The same Postgres as before only needs a check that the wallet's newest transactions are in the record. Another one (a
promoted standby, a restored backup) is compared completely: after a wait until no earlier transaction can land, the
wallet's finalized history is read from all nodes, back to where the record is certainly complete.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.attempt_id import Memo, find_memos
from dexexec.domain.recovered_orders import ChainAttempt, ContradictionError, RecordedOrder, UnsettledError, restore
from dexexec.domain.swap import SLOTS_PER_SECOND, VALID_FOR, FailedOnChain, Landed, SwapStatus
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory, WalletHistory
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.store import BegunComparison, ChainComparisons, ComparisonState
from dexexec.venue import Unreachable

Venues = Mapping[str, frozenset[str]]
"""The programs of each venue, by its name."""
ReadOwn = Callable[[bytes, str, Venues], tuple[Memo, str] | None]
SKEW_SECONDS = 300
"""Largest difference between the clocks of the chain and of the old and new database servers."""
AHEAD = 10
"""Blocks by which another node may have been ahead of the one that returned the newest blockhash."""
AT_ONCE = 16
"""Transactions that are read concurrently."""
SHORTEST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
SECONDS_PER_BLOCK_LEFT = 0.05
"""Pause per missing block: much less than a block takes, so that the wait ends soon after the last one."""
LOG_SECONDS = 10.0
"""Seconds between two log lines about the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletOnChain:
    """A wallet that pays for orders, and the chain with its history. `genesis` identifies the chain; `read_own` is
    `dexexec.recovery.own_transactions.read_own`, which needs Solana's libraries. `name` is the wallet's in the orders
    that it pays for; None: the default one."""

    genesis: str
    address: str
    chain: WalletHistory
    read_own: ReadOwn
    name: str | None = None


def with_former(wallets: Sequence[WalletOnChain], compared: Iterable[tuple[str, str]]) -> list[WalletOnChain]:
    """The wallets, and those that this record was `compared` for before on their chains, although they are no longer
    configured. A swap that such a wallet paid for may be among the commits that a promoted Postgres lacks."""
    known = {(wallet.genesis, wallet.address) for wallet in wallets}
    chains = {wallet.genesis: wallet for wallet in wallets}
    former = [each for each in compared if each[0] in chains and each not in known]
    return [*wallets, *(replace(chains[genesis], address=address, name=None) for genesis, address in former)]


class Comparison:
    """Compares for one wallet. `record` is the record's name; `venues` identifies a swap's venue by its programs, and
    `pair` (input and output mint) the side of an order that is otherwise unknown."""

    def __init__(
        self,
        wallet: WalletOnChain,
        comparisons: ChainComparisons,
        *,
        record: str,
        venues: Venues,
        pair: tuple[str, str],
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._wallet = wallet
        self._chain = wallet.chain
        self._comparisons = comparisons
        self._record = record
        self._venues = venues
        self._pair = pair
        self._clock = clock
        self._observer = observer
        self._key = (wallet.genesis, wallet.address)
        self._logged = ""  # the identity for which the start of a comparison was last logged

    async def ensure(self) -> str:
        """The identity of the Postgres whose record has everything that the chain has; compares now if necessary.
        Raises `UnavailableError` and `VenueError` if the comparison is not possible yet."""
        state = await self._state()
        if await self._is_compared(state):
            return await self._done(state)
        # Two comparisons at once would restore the same orders twice, and cost the nodes twice as many requests.
        async with self._comparisons.exclusive(*self._key) as is_exclusive:
            if not is_exclusive:
                raise Unreachable("another worker compares record and chain")
            # The previous holder of the lock may have compared it meanwhile.
            state = await self._state()
            if not await self._is_compared(state):
                await self._compare(state)
            return await self._done(state)

    async def stopped(self) -> None:
        """Record that this worker may not sign, for `/readyz`. Raises `UnavailableError`."""
        await self._comparisons.stopped(*self._key)

    async def _state(self) -> ComparisonState:
        return await self._comparisons.state(*self._key)

    async def _done(self, state: ComparisonState) -> str:
        if not await self._comparisons.compared(*self._key, state.identity):
            raise Unreachable("Postgres changed while its record was compared with the chain")
        return state.identity

    async def _is_compared(self, state: ComparisonState) -> bool:
        """Whether this is the same Postgres as before, and complete: a backup that was restored in place has the same
        identity, but lacks the newest transactions."""
        if state.pending is not None or state.compared != state.identity:
            return False
        newest = await self._chain.newest_signatures(self._wallet.address)
        # Not every node keeps such lists. The identity alone shows then that this is the Postgres of before.
        if newest is None:
            self._observer.wallet_history_unavailable(self._wallet.address)
            return True
        since = state.complete_until - SKEW_SECONDS
        recent = [entry for entry in newest if entry.time is None or entry.time >= since]
        unrecorded = await self._unrecorded_by_memo(recent)
        for start in range(0, len(unrecorded), AT_ONCE):
            batch = unrecorded[start : start + AT_ONCE]
            if any(await asyncio.gather(*(self._may_be_own(signature) for signature in batch))):
                return False
        return True

    async def _may_be_own(self, signature: str) -> bool:
        """Whether our wallet may have made a transaction with our memo: any wallet can write such a memo, and a
        comparison stops signing for a minute. A transaction that cannot be read yet counts."""
        kept = await self._chain.kept_transaction(signature)
        return kept is None or self._wallet.read_own(kept.payload, self._wallet.address, self._venues) is not None

    async def _unrecorded_by_memo(self, entries: Sequence[HistoryEntry]) -> list[str]:
        """Signatures that are not in the record, of our transactions according to a node's list of memos."""
        memos_by_signature = {entry.signature: find_memos(entry.memos or "") for entry in entries}
        known = await self._recorded(memo.attempt.order_id for memos in memos_by_signature.values() for memo in memos)
        recorded = _signatures(known)
        return [
            signature
            for signature, memos in memos_by_signature.items()
            if signature not in recorded and any(self._is_ours(memo, known) for memo in memos)
        ]

    def _is_ours(self, memo: Memo, known: dict[UUID, RecordedOrder]) -> bool:
        # Two records may share a wallet, and the memo names one of them. An order of this record counts under any name.
        return memo.record == self._record or memo.attempt.order_id in known

    async def _recorded(self, order_ids: Iterable[UUID]) -> dict[UUID, RecordedOrder]:
        wanted = list(dict.fromkeys(order_ids))
        return await self._comparisons.orders(wanted) if wanted else {}

    # The complete comparison

    async def _compare(self, state: ComparisonState) -> None:
        begun = self._clock.monotonic()
        dead_height = state.dead_height
        since = state.back_to
        waited = state.begun_seconds
        # A comparison that another process began is continued. Its start of the history must not be computed again:
        # `complete_until` follows the newest attempt of the record, and some may be restored already.
        if state.pending != state.identity or dead_height is None or since is None:
            dead_height = (await self._chain.blockhash()).last_valid_height + AHEAD
            since = state.complete_until - SKEW_SECONDS
            waited = 0.0
            await self._comparisons.begin(*self._key, BegunComparison(state.identity, dead_height, since))
        if self._logged != state.identity:
            self._logged = state.identity
            self._observer.comparison_started(self._wallet.address, state.compared, state.identity)
        await self._wait_until_dead(dead_height, begun - waited)
        histories = await self._chain.wallet_history(self._wallet.address, since)
        # A node that has not finalized that height may be missing a transaction that landed just before it.
        behind = [history.node for history in histories if history.height is not None and history.height <= dead_height]
        if behind or all(history.height is None for history in histories):
            raise Unreachable(f"the history cannot be read past height {dead_height} ({', '.join(behind)})")
        missing = await self._read_back(histories)
        restored = sum([await self._restore(order_id, attempts) for order_id, attempts in missing.items()])
        # After the restoration, since only restored orders show which newer ones are duplicates.
        for duplicate in await self._comparisons.end_duplicates():
            self._observer.duplicate_order_found(duplicate.order_id, duplicate.original, duplicate.ended)
        self._observer.comparison_finished(self._wallet.address, restored, self._clock.monotonic() - begun)

    async def _wait_until_dead(self, dead_height: int, found_at: float) -> None:
        """Wait until every node that answers has finalized a block at which no earlier transaction can land any more.

        `found_at` is when `dead_height` was determined (monotonic seconds; possibly by another process). A height that
        no chain can have reached since proves nothing, even if the node's other answers are consistent with it.
        """
        logged_at = float("-inf")
        while True:
            heights = await self._chain.heights()
            # The lowest, since a transaction can still land on the node that is the furthest behind.
            node, lowest = min(heights.items(), key=lambda height_of_node: height_of_node[1])
            # Without the allowance for nodes that catch up (1,024 slots), which would be longer than the whole wait.
            most = dead_height - VALID_FOR - AHEAD + SLOTS_PER_SECOND * (self._clock.monotonic() - found_at)
            if dead_height < lowest <= most:
                return
            await self.stopped()
            raise_if_cancelled()
            now = self._clock.monotonic()
            if now - logged_at >= LOG_SECONDS:
                self._observer.comparison_waiting(self._wallet.address, node, lowest, dead_height, round(most))
                logged_at = now
            pause = (dead_height - lowest) * SECONDS_PER_BLOCK_LEFT
            await self._clock.sleep(min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE))

    async def _read_back(self, histories: Sequence[NodeHistory]) -> dict[UUID, list[ChainAttempt]]:
        """Our transactions that are missing in the record, by order."""
        entries = {entry.signature: entry for history in histories for entry in history.entries}
        memos = [memo for entry in entries.values() for memo in find_memos(entry.memos or "")]
        # Listed memos prove nothing, but they save reading the transactions that the record has.
        hinted = await self._recorded(memo.attempt.order_id for memo in memos)
        unknown = [entries[signature] for signature in entries.keys() - _signatures(hinted)]
        await self.stopped()
        own: list[_OwnTransaction] = []
        for start in range(0, len(unknown), AT_ONCE):
            batch = await asyncio.gather(*(self._read(entry) for entry in unknown[start : start + AT_ONCE]))
            own += [transaction for transaction in batch if transaction is not None]
            # A long history takes minutes, and this report expires after 30 seconds.
            await self.stopped()
        known = await self._recorded(transaction.memo.attempt.order_id for transaction in own)
        recorded = _signatures(known)
        missing = [
            transaction
            for transaction in own
            if transaction.kept.signature not in recorded and self._is_ours(transaction.memo, known)
        ]
        if not missing:
            return {}
        statuses = await self._chain.status([transaction.kept.signature for transaction in missing], history=True)
        by_order: defaultdict[UUID, list[ChainAttempt]] = defaultdict(list)
        for transaction, status in zip(missing, statuses, strict=True):
            by_order[transaction.memo.attempt.order_id].append(_attempt(transaction, status))
        return by_order

    async def _read(self, entry: HistoryEntry) -> "_OwnTransaction | None":
        kept = await self._chain.kept_transaction(entry.signature)
        if kept is None:
            # Without our memo the transaction does not matter. With one, it may be a swap that the record would lose.
            if find_memos(entry.memos or ""):
                raise Unreachable(f"{entry.signature} is listed, but no node has it")
            return None
        own = self._wallet.read_own(kept.payload, self._wallet.address, self._venues)
        return None if own is None else _OwnTransaction(kept, *own)

    async def _restore(self, order_id: UUID, missing: Sequence[ChainAttempt]) -> bool:
        """Write the restored state of an order. Returns whether anything was written."""
        known = (await self._recorded([order_id])).get(order_id)
        open_attempt = known.open_attempt if known else None
        open_status = None
        if open_attempt is not None:
            [open_status] = await self._chain.status([open_attempt.signature], history=True)
        try:
            restoration = restore(known, missing, open_status, self._pair, self._wallet.name)
        except ContradictionError as error:
            self._observer.record_contradicts_chain(order_id, str(error))
            return False
        except UnsettledError as error:
            raise Unreachable(str(error)) from None
        if not await self._comparisons.restore(restoration):
            # The write names the version that was read. The next comparison reads the order again.
            raise Unreachable(f"order {order_id} changed while it was restored")
        if restoration.alarm:
            self._observer.record_contradicts_chain(order_id, restoration.alarm)
        self._observer.order_restored(order_id, restoration.status, known is None)
        return True


@dataclass(frozen=True, slots=True)
class _OwnTransaction:
    """A transaction of our wallet, its memo, and its venue."""

    kept: KeptTransaction
    memo: Memo
    venue: str


def _attempt(own: _OwnTransaction, status: SwapStatus) -> ChainAttempt:
    """The attempt with its outcome, by the same proof that any swap needs."""
    match status:
        # Only finalized ones: what is restored here is final in the record as well.
        case Landed(moved, fee, slot, True, cost):
            failure = None
        case FailedOnChain(code=_, detail=detail, fee=fee, slot=slot, finalized=True, cost=cost):
            moved, failure = {}, clean(detail)
        case _:
            raise Unreachable(f"it is not certain what became of {own.kept.signature}")
    return ChainAttempt(
        attempt=own.memo.attempt,
        signature=own.kept.signature,
        payload=own.kept.payload,
        venue=own.venue,
        slot=slot,
        time=own.kept.time,
        fee=fee,
        moved=moved,
        decimals=own.kept.decimals,
        failure=failure,
        cost=cost,
    )


def _signatures(orders: dict[UUID, RecordedOrder]) -> set[str]:
    return {attempt.signature for order in orders.values() for attempt in order.attempts}
