"""A record in a real Postgres beside a chain that a test writes, and the comparison of the two."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dexexec.clock import SystemClock
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.domain.swap import Blockhash, FailedOnChain, Landed, NotSeen, SignedSwap, SwapStatus
from dexexec.domain.token import USDC, WSOL
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory
from dexexec.observe.observer import Observer, make_logger
from dexexec.recovery.chain_comparison import Comparison, WalletOnChain
from dexexec.recovery.own_transactions import read_own
from dexexec.recovery.signing_permission import ComparedRecord
from dexexec.settlement.solana.wallet import Wallet
from dexexec.store import Address, ChainComparisons, Claimed, Database, NewAttempt, Step, Store, WorkerSession
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable, VenueError
from tests.support.own_transactions import signature_of, swap
from tests.support.parts import new_order, open_database, running
from tests.support.swap_transactions import POOL_PROGRAM

WALLET, STRANGER = Wallet(b"w" * 32), Wallet(b"s" * 32)
GENESIS = "genesis"
ROUTED: tuple[tuple[Status, Any], ...] = ((Status.ROUTING, {}), (Status.BUILDING, {}))
BOUGHT = {WSOL: -10_000_000, USDC: 1_500_000}
VALID_FOR = 150
LAST_HEIGHT = 1_200


@dataclass(kw_only=True)
class ScriptedHistory:
    """A chain with the transactions that a test put there. Each read of the heights adds `per_look` blocks, up to
    `LAST_HEIGHT`, since Postgres has its own clock, which does not follow a test's."""

    heights_of: dict[str, int] = field(default_factory=lambda: {"a": 1_000})
    kept: dict[str, KeptTransaction] = field(default_factory=dict)
    memos: dict[str, str | None] = field(default_factory=dict)
    statuses: dict[str, SwapStatus] = field(default_factory=dict)
    down: VenueError | None = None
    has_lists: bool = True
    requests: list[str] = field(default_factory=list)
    per_look: int = 40

    def lands(
        self, payload: bytes, *, time: int, memo: str | None = None, failure: str | None = None, moved: Any = None
    ) -> str:
        """A finalized transaction; `memo` is what the nodes list for it."""
        signature = signature_of(payload)
        self.kept[signature] = KeptTransaction(signature, payload, time, {USDC: 6})
        self.statuses[signature] = (
            FailedOnChain(code="program-error", detail=failure, fee=5_000, slot=70, finalized=True)
            if failure
            else Landed(moved or BOUGHT, 5_000, 70, finalized=True)
        )
        self.memos[signature] = memo
        return signature

    def _request(self, what: str) -> None:
        self.requests.append(what)
        if self.down is not None:
            raise self.down

    async def blockhash(self) -> Blockhash:
        self._request("blockhash")
        return Blockhash("hash", max(self.heights_of.values()) + VALID_FOR)

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        self._request("status")
        gone = NotSeen(min(self.heights_of.values()), history, "a", 10**6)
        return [self.statuses.get(one, gone) for one in signatures]

    async def heights(self) -> dict[str, int]:
        self._request("heights")
        for node, height in self.heights_of.items():
            self.heights_of[node] = max(height, min(height + self.per_look, LAST_HEIGHT))
        return dict(self.heights_of)

    def _entries(self) -> tuple[HistoryEntry, ...]:
        found = [HistoryEntry(one.signature, 70, one.time, self.memos[s]) for s, one in self.kept.items()]
        return tuple(sorted(found, key=lambda one: one.time or 0, reverse=True))

    async def newest_signatures(self, wallet: str) -> list[HistoryEntry] | None:
        self._request("newest")
        return list(self._entries()) if self.has_lists else None

    async def wallet_history(self, wallet: str, since: int) -> list[NodeHistory]:
        self._request("history")
        if not self.has_lists:
            raise Unreachable("a: method not found")
        entries = tuple(one for one in self._entries() if (one.time or 0) >= since)
        return [NodeHistory(node, height, entries) for node, height in self.heights_of.items()]

    async def kept_transaction(self, signature: str) -> KeptTransaction | None:
        self._request("transaction")
        return self.kept.get(signature)


@dataclass
class PermittedIdentity:
    """Which Postgres the store may record attempts in: all, unless a test restricts it."""

    source: Callable[[], str | None] = lambda: None

    def identity(self) -> str | None:
        return self.source()


@dataclass(kw_only=True)
class ComparisonSetup:
    """A record in Postgres and a chain. `now` is the database's time (Unix seconds)."""

    database: Database
    store: Store
    permitted: PermittedIdentity
    comparisons: ChainComparisons
    chain: ScriptedHistory
    record: str
    now: int
    announced: list[Event]
    workers: list[WorkerSession] = field(default_factory=list)

    def comparison(self, chain: ScriptedHistory | None = None, *, name: str | None = None) -> Comparison:
        wallet = WalletOnChain(
            genesis=GENESIS, address=WALLET.address, chain=chain or self.chain, read_own=read_own, name=name
        )
        return Comparison(
            wallet,
            self.comparisons,
            record=self.record,
            venues={"pool": frozenset({POOL_PROGRAM})},
            pair=(WSOL, USDC),
            clock=ManualClock(),
            observer=Observer(make_logger("critical")),
        )

    def permission(self, *comparisons: Comparison) -> ComparedRecord:
        """The permission of a worker."""
        return ComparedRecord(comparisons or (self.comparison(),), ManualClock(), Observer(make_logger("critical")))

    async def permit(self) -> str:
        """Obtain permission. Returns the identity of the Postgres that may be written to."""
        permission = self.permission()
        await permission.obtain()
        return permission.identity()

    async def identity(self) -> str:
        async with self.database.connection() as connection:
            row = await (await connection.execute("SELECT record_identity()")).fetchone()
            assert row is not None
            return str(row[0])

    async def moves_to_another_postgres(self) -> None:
        """Pretend that the record was last compared in another Postgres: this one was promoted, or has a restored
        backup."""
        async with self.database.connection() as connection:
            await connection.execute("UPDATE installation SET identity = '1/00000001'")
            await connection.execute("UPDATE chain_comparisons SET identity = '1/00000001'")

    def lands(self, attempt: AttemptId, *, payload: bytes | None = None, hint: bool = True, **about: Any) -> str:
        """A transaction of our wallet for an attempt, a moment ago."""
        text = attempt.memo(self.record)
        listed = f"[{len(text)}] {text}" if hint else None
        return self.chain.lands(payload or swap(WALLET, text), time=self.now, memo=listed, **about)

    async def order(self) -> Claimed:
        """A new order, and a claim of it."""
        created = await self.store.create(new_order())
        return await self.claim(created.order_id)

    async def claim(self, order_id: UUID) -> Claimed:
        """A claim by a new worker."""
        worker = await self.store.begin("w", 60)
        self.workers.append(worker)
        [claimed] = await self.store.claim(worker.id, [order_id])
        return claimed

    async def read(self, order_id: UUID) -> dict[str, Any]:
        found: Any = await self.store.order(order_id)
        assert found is not None
        return dict(found)

    async def is_lost(self, order_id: UUID) -> bool:
        return await self.store.order(order_id) is None


async def submit(at: ComparisonSetup, claimed: Claimed, signature: str, **about: Any) -> list[Event] | None:
    """Write attempt 1 of the order."""
    attempt = NewAttempt(
        n=1,
        venue="pool",
        signed=SignedSwap(signature=signature, payload=b"bytes", last_valid_height=100),
        quoted={"minOut": "1"},
    )
    events = (*ROUTED, (Status.SUBMITTED, {}))
    step = Step(
        order_id=claimed.order.id,
        claim=claimed.order.claim,
        version=1,
        events=events,
        venue="pool",
        rounds=1,
        attempt=attempt,
        **about,
    )
    return await at.store.advance(step)


@asynccontextmanager
async def comparison_setup(address: Address) -> AsyncIterator[ComparisonSetup]:
    announced: list[Event] = []
    async with open_database(address) as database:
        permitted = PermittedIdentity()
        store = Store(database, announced.extend, SystemClock(), permitted_identity=permitted.identity)
        comparisons = ChainComparisons(database, announced.extend)
        async with running(store.run()), database.connection() as connection:
            row = await (await connection.execute("SELECT extract(epoch FROM clock_timestamp())::bigint")).fetchone()
            assert row is not None
            record = await comparisons.record_name()
            at = ComparisonSetup(
                database=database,
                store=store,
                permitted=permitted,
                comparisons=comparisons,
                chain=ScriptedHistory(),
                record=record,
                now=row[0],
                announced=announced,
            )
            try:
                yield at
            finally:
                for worker in at.workers:
                    await worker.end()
