"""`dexexec.store.ChainComparisons` on a database in memory: the same methods, answers and errors."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID

from dexexec.domain.event import Detail, Event
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.recovered_orders import (
    RecordedAttempt,
    RecordedOrder,
    Restoration,
    end_duplicate,
)
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.store import Attempt, BegunComparison, ChainComparisons, ComparisonState
from dexexec.store.restored_keys import Duplicate
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.rows import SECOND, AttemptRow, ComparisonRow, OrderRow, key_digest, moment, us_of
from tests.support.fakes.wire import Direct, Wire


class MemoryComparisons:
    """One process's view of `database`. `announce` gets events once they are committed."""

    def __init__(
        self,
        database: MemoryDatabase,
        announce: Callable[[Sequence[Event]], None] = lambda _: None,
        wire: Wire | None = None,
    ) -> None:
        self.database, self._announce, self._wire = database, announce, wire or Direct()
        self._sessions: set[object] = set()

    @property
    def port(self) -> ChainComparisons:
        """Itself, for parts that name the class of the real one."""
        return cast("ChainComparisons", self)

    async def record_name(self) -> str:
        """What the record is called in memos."""
        return await self._wire.call("record_name", lambda: "5f3c9a1e")

    async def wallets(self) -> list[tuple[str, str]]:
        """The wallets that were ever compared."""
        return await self._wire.call("wallets", lambda: sorted(self.database.comparisons))

    async def state(self, genesis: str, wallet: str) -> ComparisonState:
        """How record and chain compare."""
        return await self._wire.call("standing", lambda: self._standing(genesis, wallet))

    def _standing(self, genesis: str, wallet: str) -> ComparisonState:
        database, row = self.database, self.database.comparisons.get((genesis, wallet), ComparisonRow())
        attempts = [one for order in database.orders.values() for one in order.attempts]
        # One that was read back from the chain has no height, and proves nothing about the copy.
        signed = [one.created_at for one in attempts if one.attempt.signed.last_valid_height]
        begun = 0 if row.begun_at is None else database.now() - row.begun_at
        return ComparisonState(
            identity=database.identity,
            compared=row.identity or database.made_as,
            pending=row.pending,
            dead_height=row.dead_height,
            back_to=row.back_to,
            begun_seconds=begun / SECOND,
            complete_until=max([row.compared_at or database.made_at, *signed]) // SECOND,
        )

    @asynccontextmanager
    async def exclusive(self, genesis: str, wallet: str) -> AsyncIterator[bool]:
        """Whether no other process has the lock."""
        session = object()
        self._sessions.add(session)
        try:
            yield await self._wire.call("lock", lambda: self._lock((genesis, wallet), session))
        finally:
            self._sessions.discard(session)
            self._unlock(session)

    def _lock(self, key: tuple[str, str], session: object) -> bool:
        """Whether the session has it. Of one that is over, nothing is left."""
        return session in self._sessions and self.database.comparing.setdefault(key, session) is session

    def drop(self) -> None:
        """The process is gone: so are the locks of its sessions."""
        for session in self._sessions:
            self._unlock(session)
        self._sessions.clear()

    def _unlock(self, session: object) -> None:
        comparing = self.database.comparing
        for key in [key for key, holder in comparing.items() if holder is session]:
            del comparing[key]

    async def begin(self, genesis: str, wallet: str, begun: BegunComparison) -> None:
        """A comparison is needed."""

        def commit() -> None:
            row, now = self._row(genesis, wallet), self.database.now()
            row.pending, row.dead_height, row.back_to = begun.identity, begun.dead_height, begun.back_to
            row.begun_at = row.stopped_at = now

        await self._wire.call("begin", commit)

    async def stopped(self, genesis: str, wallet: str) -> None:
        """Nothing is signed at present."""

        def commit() -> None:
            self._row(genesis, wallet).stopped_at = self.database.now()

        await self._wire.call("stopped", commit)

    async def compared(self, genesis: str, wallet: str, identity: str) -> bool:
        """The record has all that the chain has, unless another database answers now."""

        def commit() -> bool:
            if identity != self.database.identity:
                return False
            self.database.comparisons[genesis, wallet] = ComparisonRow(identity, self.database.now())
            return True

        return await self._wire.call("compared", commit)

    async def orders(self, order_ids: Sequence[UUID]) -> dict[UUID, RecordedOrder]:
        """Those of the orders that the record has."""
        known = self.database.orders
        return await self._wire.call("orders", lambda: {i: _recorded(known[i]) for i in order_ids if i in known})

    async def restore(self, found: Restoration) -> bool:
        """Write what the record learns of an order."""

        def commit() -> bool:
            events = self._restore(found)
            self._announce(events)
            return bool(events)

        return await self._wire.call("restore", commit)

    async def end_duplicates(self) -> list[Duplicate]:
        """Let orders fail that were posted again."""

        def commit() -> list[Duplicate]:
            duplicates, events = self._end_duplicates()
            self._announce(events)
            return duplicates

        return await self._wire.call("end_duplicates", commit)

    # Inside the database

    def _row(self, genesis: str, wallet: str) -> ComparisonRow:
        return self.database.comparisons.setdefault((genesis, wallet), ComparisonRow())

    def _restore(self, found: Restoration) -> list[Event]:
        database, at = self.database, self.database.now()
        row = database.orders.get(found.order_id)
        if found.lost is not None:
            if row is not None:
                return []
            row = database.orders[found.order_id] = _lost(found, at)
            if (digest := found.lost.key_digest) is not None:
                database.restored_keys.setdefault(digest[:12], (digest[12:], found.order_id))
        elif row is None or row.version != found.version or row.finished_at is not None:
            return []
        else:
            row.claim, row.claims, row.worker = row.claim + 1, 0, None
        if found.resolved is not None and (open_row := row.open_attempt) is not None:
            open_row.outcome = found.resolved.outcome
            open_row.proof = dict(found.resolved.proof)
            open_row.resolved_at = at
        last = next((one for one in found.attempts if one.outcome is Outcome.LANDED), found.attempts[-1])
        row.venue, row.tx_hash, row.status, row.due_at = last.venue, last.signature, found.status, at
        row.failure_reason = found.reason or row.failure_reason
        row.amount_in, row.amount_out = (found.fill.amount_in, found.fill.amount_out) if found.fill else (None, None)
        row.attempt_count = max(row.attempt_count, *(one.n for one in found.attempts))
        for one in found.attempts:
            signed = SignedSwap(signature=one.signature, payload=one.payload, last_valid_height=0)
            row.attempts.append(
                AttemptRow(
                    Attempt(n=one.n, venue=one.venue, signed=signed, quoted={}),
                    one.landed_at * SECOND,
                    one.outcome,
                    at,
                    dict(one.proof),
                )
            )
            database.signatures[one.signature] = found.order_id
        if found.ended:
            row.finished_at, row.finalized_at = at, at if found.status is Status.CONFIRMED else None
        return [_event(row, status, detail, at) for status, detail in found.events]

    def _end_duplicates(self) -> tuple[list[Duplicate], list[Event]]:
        database, at = self.database, self.database.now()
        duplicates, events = [], []
        for order_id, row in database.orders.items():
            digest = key_digest(row.new)
            _, original = database.restored_keys.get(digest[:12] if digest else "", ("", order_id))
            if row.finished_at is not None or original == order_id:
                continue
            duplicates.append(Duplicate(order_id, original, ended=row.open_attempt is None))
            if row.open_attempt is not None:
                continue
            status, detail = end_duplicate(row.status, original)
            row.claim, row.claims, row.worker, row.waiting = row.claim + 1, 0, None, None
            row.status, row.failure_reason, row.due_at, row.finished_at = status, FailureReason.DUPLICATE, at, at
            events.append(_event(row, status, detail, at))
            database.keys.pop(row.new.idempotency_key, None)
        return duplicates, events


def _event(row: OrderRow, status: Status, detail: Detail, at: int) -> Event:
    row.version += 1
    event = Event(order_id=row.new.id, seq=row.version, status=status, at=moment(at), detail=detail)
    row.events.append(event)
    row.claim_of.append(row.claim)
    return event


def _lost(found: Restoration, at: int) -> OrderRow:
    lost = found.lost
    assert lost is not None
    new = NewOrder(
        id=found.order_id,
        side=lost.side,
        amount=lost.amount,
        amount_base=lost.amount_base,
        mode=Mode.EXACT_IN,
        input_mint=lost.input_mint,
        output_mint=lost.output_mint,
        slippage_bps=0,
        deadline_ms=0,
        client="unknown",
        wallet=lost.wallet,
    )
    created_at = us_of(lost.created_at)
    return OrderRow(new, created_at, created_at, at, version=0)


def _recorded(row: OrderRow) -> RecordedOrder:
    new = row.new
    mints = (new.input_mint, new.output_mint)
    mint_in, mint_out = mints if new.side is Side.BUY else mints[::-1]
    return RecordedOrder(
        order_id=new.id,
        status=row.status,
        version=row.version,
        ended=row.finished_at is not None,
        request=SwapRequest(
            mint_in=mint_in, mint_out=mint_out, amount=new.amount_base, mode=new.mode, slippage_bps=new.slippage_bps
        ),
        attempts=tuple(
            RecordedAttempt(
                one.attempt.n, one.attempt.signed.signature, one.attempt.signed.last_valid_height, one.outcome
            )
            for one in row.attempts
        ),
    )
