"""Record and chain, compared on a real Postgres with a chain that a test writes: when signing is allowed, and what
comes back into the record before."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.domain.swap import Blockhash, FailedOnChain, Landed, NotSeen, SignedSwap, SwapStatus, Unavailable
from dexexec.domain.token import USDC, WSOL
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory
from dexexec.errors import IdempotencyMismatchError
from dexexec.observe.observer import Observer, make_logger
from dexexec.recovery.chain_comparison import AHEAD, Comparison, WalletOnChain
from dexexec.recovery.own_transactions import read_own
from dexexec.recovery.signing_permission import ComparedRecord
from dexexec.settlement.solana.wallet import Wallet
from dexexec.store import Address, ChainComparisons, Claimed, Database, NewAttempt, Step, Store, WorkerSession
from dexexec.store.restored_keys import INSERT_KEY, LOCK_KEYS
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable, VenueError
from tests.support.own_transactions import signature_of, swap
from tests.support.parts import new_order, open_database, running
from tests.support.swap_transactions import POOL_PROGRAM
from tests.support.waiting import until

WALLET, STRANGER = Wallet(b"w" * 32), Wallet(b"s" * 32)
GENESIS = "genesis"
ROUTED: tuple[tuple[Status, Any], ...] = ((Status.ROUTING, {}), (Status.BUILDING, {}))
BOUGHT = {WSOL: -10_000_000, USDC: 1_500_000}
VALID_FOR = 150
LAST_HEIGHT = 1_200


@dataclass
class ScriptedHistory:
    """A chain that has what a test put there. Its nodes are at `heights`; blocks come with every look at them, up to
    `LAST_HEIGHT`: Postgres has a clock of its own, which does not jump with a test's."""

    heights_of: dict[str, int] = field(default_factory=lambda: {"a": 1_000})
    kept: dict[str, KeptTransaction] = field(default_factory=dict)
    memos: dict[str, str | None] = field(default_factory=dict)
    fates: dict[str, SwapStatus] = field(default_factory=dict)
    down: VenueError | None = None
    lists: bool = True
    asked: list[str] = field(default_factory=list)
    per_look: int = 40

    def lands(
        self, payload: bytes, *, time: int, memo: str | None = None, failure: str | None = None, moved: Any = None
    ) -> str:
        """A finalized transaction; `memo` is what the nodes list for it."""
        signature = signature_of(payload)
        self.kept[signature] = KeptTransaction(signature, payload, time, {USDC: 6})
        self.fates[signature] = (
            FailedOnChain(code="program-error", detail=failure, fee=5_000, slot=70, finalized=True)
            if failure
            else Landed(moved or BOUGHT, 5_000, 70, finalized=True)
        )
        self.memos[signature] = memo
        return signature

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down is not None:
            raise self.down

    async def blockhash(self) -> Blockhash:
        self._ask("blockhash")
        return Blockhash("hash", max(self.heights_of.values()) + VALID_FOR)

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        self._ask("status")
        gone = NotSeen(min(self.heights_of.values()), history, "a", 10**6)
        return [self.fates.get(one, gone) for one in signatures]

    async def heights(self) -> dict[str, int]:
        self._ask("heights")
        for node, height in self.heights_of.items():
            self.heights_of[node] = max(height, min(height + self.per_look, LAST_HEIGHT))
        return dict(self.heights_of)

    def _entries(self) -> tuple[HistoryEntry, ...]:
        found = [HistoryEntry(one.signature, 70, one.time, self.memos[s]) for s, one in self.kept.items()]
        return tuple(sorted(found, key=lambda one: one.time or 0, reverse=True))

    async def newest_signatures(self, wallet: str) -> list[HistoryEntry] | None:
        self._ask("newest")
        return list(self._entries()) if self.lists else None

    async def wallet_history(self, wallet: str, since: int) -> list[NodeHistory]:
        self._ask("history")
        if not self.lists:
            raise Unreachable("a: method not found")
        entries = tuple(one for one in self._entries() if (one.time or 0) >= since)
        return [NodeHistory(node, height, entries) for node, height in self.heights_of.items()]

    async def kept_transaction(self, signature: str) -> KeptTransaction | None:
        self._ask("transaction")
        return self.kept.get(signature)


@dataclass
class Permitted:
    """Which Postgres the store may record attempts in: all, unless a test restricts it."""

    source: Callable[[], str | None] = lambda: None

    def identity(self) -> str | None:
        return self.source()


@dataclass
class ComparisonSetup:
    """A record in Postgres, and a chain beside it. `now` is the database's time (Unix seconds)."""

    database: Database
    store: Store
    permitted: Permitted
    comparisons: ChainComparisons
    chain: ScriptedHistory
    record: str
    now: int
    announced: list[Event]
    workers: list[WorkerSession] = field(default_factory=list)

    def comparison(self, chain: ScriptedHistory | None = None) -> Comparison:
        wallet = WalletOnChain(genesis=GENESIS, address=WALLET.address, chain=chain or self.chain, read_own=read_own)
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
        """As a worker has it."""
        return ComparedRecord(comparisons or (self.comparison(),), ManualClock(), Observer(make_logger("critical")))

    async def permit(self) -> str:
        """The identity of the Postgres that may be written to, once that is allowed."""
        permission = self.permission()
        await permission.obtain()
        return permission.identity()

    async def identity(self) -> str:
        async with self.database.connection() as connection:
            row = await (await connection.execute("SELECT record_identity()")).fetchone()
            assert row is not None
            return str(row[0])

    async def moves_to_another_postgres(self) -> None:
        """The record was compared in another Postgres than this one, which was promoted, or is where a backup was
        restored."""
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
        """By a worker of its own."""
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


async def submit(setup: ComparisonSetup, claimed: Claimed, signature: str, **about: Any) -> list[Event] | None:
    """Record attempt 1."""
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
    return await setup.store.advance(step)


@asynccontextmanager
async def setup(address: Address) -> AsyncIterator[ComparisonSetup]:
    announced: list[Event] = []
    async with open_database(address) as database:
        permitted = Permitted()
        store = Store(database, announced.extend, SystemClock(), permitted_identity=permitted.identity)
        comparisons = ChainComparisons(database, announced.extend)
        async with running(store.run()), database.connection() as connection:
            row = await (await connection.execute("SELECT extract(epoch FROM clock_timestamp())::bigint")).fetchone()
            assert row is not None
            record = await comparisons.record_name()
            at = ComparisonSetup(database, store, permitted, comparisons, ScriptedHistory(), record, row[0], announced)
            try:
                yield at
            finally:
                for worker in at.workers:
                    await worker.end()


# ---- when signing is allowed -----------------------------------------------------------------------------------------


async def test_the_record_of_before_may_be_signed_for_after_one_glance(database_address: Address) -> None:
    async with setup(database_address) as at:
        claimed, untried = await at.order(), await at.order()
        payload = swap(WALLET, AttemptId(claimed.order.id, 1).memo(at.record))
        assert await submit(at, claimed, at.lands(AttemptId(claimed.order.id, 1), payload=payload))
        assert await at.permit() == await at.identity()
        assert at.chain.asked == ["newest"]
        assert not await at.store.signing_stopped()
        assert await submit(at, untried, "sig")


async def test_nothing_is_signed_in_another_postgres_before_all_that_was_signed_is_dead_and_the_history_is_read(
    database_address: Address,
) -> None:
    async with setup(database_address) as at:
        await at.permit()
        await at.moves_to_another_postgres()
        at.chain.asked.clear()
        at.chain.heights_of = {"a": 1_000, "b": 990}
        assert await at.permit() == await at.identity()
        assert at.chain.asked[:2] == ["blockhash", "heights"]
        assert at.chain.asked[-1] == "history"
        lowest = min(at.chain.heights_of.values())
        dead = 1_000 + VALID_FOR + AHEAD
        assert dead < lowest <= dead + at.chain.per_look, "as soon as both are past it"
        at.chain.asked.clear()
        await at.permit()
        assert at.chain.asked == ["newest"], "once is enough"


async def test_while_no_node_answers_nothing_is_signed_and_readiness_reports_it(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.chain.down = Unreachable("a did not answer")
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: len(at.chain.asked) > 3)
        await until(at.store.signing_stopped)
        assert not obtaining.done()
        at.chain.down = None
        assert await obtaining == await at.identity()
        assert not await at.store.signing_stopped()


async def test_a_node_that_is_behind_keeps_signing_stopped(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.chain.heights_of, at.chain.per_look = {"a": 5_000, "b": 100}, 0
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.asked.count("heights") > 20)
        assert "history" not in at.chain.asked
        at.chain.heights_of = {"a": 5_000 + VALID_FOR + AHEAD + 1}
        await obtaining


async def test_without_a_node_that_lists_signatures_only_the_record_of_before_is_signed_for(
    database_address: Address,
) -> None:
    async with setup(database_address) as at:
        at.chain.lists = False
        await at.permit()
        await at.moves_to_another_postgres()
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.asked.count("history") > 3)
        assert not obtaining.done()
        obtaining.cancel()


async def test_an_attempt_is_only_recorded_in_the_postgres_that_is_permitted(database_address: Address) -> None:
    async with setup(database_address) as at:
        permission = at.permission()
        at.permitted.source = permission.identity
        claimed = await at.order()
        assert await submit(at, claimed, "sig") is None, "not permitted yet"
        assert (await at.read(claimed.order.id))["status"] == "pending"
        await permission.obtain()
        assert await submit(at, claimed, "sig")
        at.permitted.source = lambda: "1/00000001"
        other = await at.order()
        assert await submit(at, other, "sig-2") is None
        later = Step(order_id=claimed.order.id, claim=claimed.order.claim, version=4, events=((Status.CONFIRMED, {}),))
        assert await at.store.advance(later), "what a swap came to is written"


@pytest.mark.parametrize("end", [Status.EXPIRED, Status.FAILED])
async def test_promise_3_an_order_only_ends_without_a_swap_in_the_postgres_that_is_permitted(
    database_address: Address, end: Status
) -> None:
    """A worker that has not noticed yet that another Postgres answers: the order may have swapped, and that be lost."""
    async with setup(database_address) as at:
        at.permitted.source = lambda: "1/00000001"
        claimed = await at.order()
        ends = Step(
            order_id=claimed.order.id,
            claim=claimed.order.claim,
            version=1,
            events=((end, {}),),
            final=True,
            reason="deadline",
        )
        assert await at.store.advance(ends) is None
        assert (await at.read(claimed.order.id))["status"] == "pending"
        permission = at.permission()
        at.permitted.source = permission.identity
        await permission.obtain()
        assert await at.store.advance(ends)


@pytest.mark.parametrize(
    ("revoked", "known"),
    [
        ("pg_control_system()", (False, True)),
        ("pg_current_wal_lsn()", (True, False)),
        ("pg_control_system(), pg_current_wal_lsn()", (False, False)),
    ],
)
async def test_a_role_that_may_not_read_the_identity_goes_on_with_what_it_may(
    database_address: Address, revoked: str, known: tuple[bool, bool]
) -> None:
    """The missing right to each function is detected; a log line names the change that then stays unnoticed."""
    async with setup(database_address) as at, at.database.connection() as connection:
        await connection.execute(f"REVOKE EXECUTE ON FUNCTION {revoked} FROM PUBLIC".encode())
        role = f"dexexec_{database_address.database}"
        await connection.execute(f"CREATE ROLE {role}".encode())
        try:
            await connection.execute(f"SET ROLE {role}".encode())
            row = await (await connection.execute("SELECT record_identity()")).fetchone()
            assert row is not None
            assert tuple(bool(part) for part in row[0].split("/")) == known
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute(f"DROP ROLE {role}".encode())


# ---- what comes back -------------------------------------------------------------------------------------------------


async def test_an_order_that_is_gone_comes_back_as_the_chain_shows_it_and_is_announced(
    database_address: Address,
) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id = new_order().id
        signature = at.lands(AttemptId(order_id, 1))
        assert await at.is_lost(order_id)
        await at.permit()
        found = await at.read(order_id)
        assert (found["status"], found["txHash"], found["venue"]) == ("confirmed", signature, "pool")
        assert (found["side"], found["amount"], found["amountIn"], found["amountOut"]) == (
            "buy", "0.01", "10000000", "1500000",
        )  # fmt: skip
        assert found["finalizedAt"]
        assert [event["status"] for event in found["events"]][-1] == "confirmed"
        assert (found["events"][-1]["final"], found["events"][-1]["recovered"]) == (True, True)
        assert [event.seq for event in at.announced if event.order_id == order_id] == [1, 2, 3, 4, 5]
        [attempt] = found["attempts"]
        assert (attempt["txHash"], attempt["outcome"]) == (signature, "landed")


@pytest.mark.parametrize("hint", [True, False], ids=["listed with its memo", "listed without"])
async def test_an_order_that_looks_untried_gets_its_attempt_and_can_be_claimed_no_more(
    database_address: Address, hint: bool
) -> None:
    async with setup(database_address) as at:
        claimed = await at.order()
        await at.moves_to_another_postgres()
        signature = at.lands(AttemptId(claimed.order.id, 1), hint=hint)
        await at.permit()
        found = await at.read(claimed.order.id)
        assert (found["status"], found["txHash"], found["attemptCount"]) == ("confirmed", signature, 1)
        assert await submit(at, claimed, "another") is None, "whoever held it writes nothing more"


async def test_an_order_whose_lost_attempt_failed_continues_with_the_next_number(database_address: Address) -> None:
    async with setup(database_address) as at:
        claimed = await at.order()
        await at.moves_to_another_postgres()
        at.lands(AttemptId(claimed.order.id, 1), failure="custom program error: 0x1771")
        await at.permit()
        again = await at.claim(claimed.order.id)
        assert (again.order.status, again.order.attempts, again.attempt) == (Status.ROUTING, 1, None)


async def test_two_attempts_of_one_order_come_back_as_one_order(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1), failure="custom program error: 0x1771")
        at.lands(AttemptId(order_id, 2))
        await at.permit()
        found = await at.read(order_id)
        told = [(one["attempt"], one["outcome"]) for one in found["attempts"]]
        assert (found["status"], told) == ("confirmed", [(1, "failed"), (2, "landed")])


async def test_an_attempt_that_looks_open_is_over_when_a_later_one_is_on_chain(database_address: Address) -> None:
    async with setup(database_address) as at:
        claimed = await at.order()
        assert await submit(at, claimed, "first")
        await at.moves_to_another_postgres()
        at.lands(AttemptId(claimed.order.id, 2))
        await at.permit()
        found = await at.read(claimed.order.id)
        told = [(one["attempt"], one["outcome"]) for one in found["attempts"]]
        assert (found["status"], told) == ("confirmed", [(1, "expired"), (2, "landed")])


async def test_transactions_in_the_record_are_left_alone(database_address: Address) -> None:
    async with setup(database_address) as at:
        claimed = await at.order()
        await at.moves_to_another_postgres()
        text = AttemptId(claimed.order.id, 1).memo(at.record)
        payload = swap(WALLET, text)
        assert await submit(at, claimed, signature_of(payload))
        at.lands(AttemptId(claimed.order.id, 1), payload=payload)
        before = await at.read(claimed.order.id)
        await at.permit()
        assert await at.read(claimed.order.id) == before
        assert "transaction" not in at.chain.asked, "what is known need not be read"


async def test_foreign_transactions_are_never_taken_in(database_address: Address) -> None:
    """Transactions of the same wallet by other hands, and a stranger's that names it and forges a memo."""
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        known, ids = (await at.order()).order.id, [uuid4() for _ in range(3)]
        forged = [AttemptId(ids[0], 1), AttemptId(known, 1)]
        for attempt in forged:
            text = attempt.memo(at.record)
            at.lands(attempt, payload=swap(STRANGER, text, names=[WALLET.address]))
        other = AttemptId(ids[1], 1).memo("0" * 8)
        at.chain.lands(swap(WALLET, other), time=at.now, memo=f"[{len(other)}] {other}")
        at.chain.lands(swap(WALLET, "by hand"), time=at.now, memo="[7] by hand")
        at.chain.lands(swap(WALLET), time=at.now)
        await at.permit()
        assert [await at.is_lost(one) for one in ids] == [True] * 3
        assert (await at.read(known))["status"] == "pending"
        assert len(await at.store.orders(10, None, None)) == 1


async def test_a_strangers_memo_in_our_name_costs_a_look_at_it_and_no_comparison(database_address: Address) -> None:
    """Otherwise any wallet could stop signing for a minute at each start, for the fee of one transaction."""
    async with setup(database_address) as at:
        await at.permit()
        for order_id in (new_order().id, (await at.order()).order.id):
            text = AttemptId(order_id, 1).memo(at.record)
            at.lands(AttemptId(order_id, 1), payload=swap(STRANGER, text, names=[WALLET.address]))
        at.chain.asked.clear()
        await at.permit()
        assert at.chain.asked == ["newest", "transaction", "transaction"]


async def test_a_memo_that_names_an_order_of_before_our_tables_keeps_nothing_from_being_signed(
    database_address: Address,
) -> None:
    """The record has neither mints nor base units of an order that was taken over."""
    async with setup(database_address) as at:
        await at.permit()
        old = uuid4()
        async with at.database.connection() as connection:
            await connection.execute(
                "INSERT INTO orders (id, side, amount, status, created_at, mode, client, finished_at)"
                " VALUES (%s, 'buy', 1, 'failed', now(), 'exactIn', '', now())",
                (old,),
            )
        text = AttemptId(old, 1).memo("0" * 8)
        at.lands(AttemptId(old, 1), payload=swap(STRANGER, text, names=[WALLET.address]))
        assert await at.permit() == await at.identity()
        await at.moves_to_another_postgres()
        assert await at.permit() == await at.identity()


async def test_what_is_listed_and_not_certain_yet_keeps_signing_stopped(database_address: Address) -> None:
    """Another node denies it, or has not finalized it: as for any swap, that proves nothing."""
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        signature = at.lands(AttemptId(order_id := new_order().id, 1))
        certain = at.chain.fates[signature]
        at.chain.fates[signature] = Unavailable("some know it, others deny it")
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.asked.count("status") > 2)
        assert not obtaining.done()
        assert await at.is_lost(order_id)
        at.chain.fates[signature] = certain
        await obtaining
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_a_backup_that_was_restored_in_place_is_noticed_by_missing_transactions(
    database_address: Address,
) -> None:
    async with setup(database_address) as at:
        await at.permit()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1))
        at.chain.asked.clear()
        await at.permit()
        assert at.chain.asked[:5] == ["newest", "transaction", "newest", "transaction", "blockhash"]
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_the_history_is_read_back_to_where_the_record_is_complete(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        old, new = new_order().id, new_order().id
        text = AttemptId(old, 1).memo(at.record)
        at.chain.lands(swap(WALLET, text), time=at.now - 3_600)
        at.lands(AttemptId(new, 1))
        await at.permit()
        assert not await at.is_lost(new)
        assert await at.is_lost(old), "what is older than the record cannot be missing in it"


async def test_new_orders_since_the_change_do_not_hide_what_is_missing(database_address: Address) -> None:
    """They are taken in at once, long before the comparison, if no node answers for hours."""
    async with setup(database_address) as at:
        async with at.database.connection() as connection:
            await connection.execute("UPDATE installation SET made_at = made_at - interval '2 hours'")
        await at.moves_to_another_postgres()
        order_id = new_order().id
        text = AttemptId(order_id, 1).memo(at.record)
        at.chain.lands(swap(WALLET, text), time=at.now - 3_600)
        await at.order()
        await at.permit()
        assert (await at.read(order_id))["status"] == "confirmed"


# ---- idempotency keys ------------------------------------------------------------------------------------------------


async def digest_of(at: ComparisonSetup, key: str, body_hash: bytes) -> str:
    """As in the memo."""
    async with at.database.connection() as connection:
        cursor = await connection.execute("SELECT key_digest(key_secret, %s, %s) FROM installation", (key, body_hash))
        row = await cursor.fetchone()
        assert row is not None
        return str(row[0])


async def test_promise_9_who_posts_again_with_the_key_of_an_order_that_came_back_gets_that_order(
    database_address: Address,
) -> None:
    """Whether it is posted again before the comparison or after it; another body is refused as ever."""
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id, body = new_order().id, b"b" * 32
        at.lands(AttemptId(order_id, 1, await digest_of(at, "k", body)))
        again = await at.store.create(new_order(key="k", body_hash=body))
        held = await at.claim(again.order_id)
        await at.permit()
        assert (await at.read(order_id))["status"] == "confirmed"
        assert await submit(at, held, "second swap") is None, "nothing more is signed for it"
        found = await at.read(again.order_id)
        assert (found["status"], found["failureReason"]) == ("failed", "duplicate")
        assert found["events"][-1]["duplicateOf"] == str(order_id)
        assert [event.order_id for event in at.announced][-1] == again.order_id
        replayed = await at.store.create(new_order(key="k", body_hash=body))
        assert (replayed.order_id, replayed.replayed) == (order_id, True)
        with pytest.raises(IdempotencyMismatchError):
            await at.store.create(new_order(key="k", body_hash=b"c" * 32))


async def test_promise_9_the_key_of_a_lost_order_that_only_failed_is_free(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id, body = new_order().id, b"b" * 32
        digest = await digest_of(at, "k", body)
        at.lands(AttemptId(order_id, 1, digest), failure="custom program error: 0x1771")
        await at.permit()
        assert (await at.read(order_id))["failureReason"] == "record-lost"
        assert not (await at.store.create(new_order(key="k", body_hash=body))).replayed


async def test_promise_9_an_order_that_is_being_posted_while_its_key_comes_back_is_not_stored(
    database_address: Address,
) -> None:
    """Its statement has begun before the key is there, and waits for the lock: then it sees the key."""
    async with setup(database_address) as at:
        await at.order()  # so that the statement is prepared, and planned
        original, body = uuid4(), b"b" * 32
        digest = await digest_of(at, "k", body)
        waits = "SELECT FROM pg_locks WHERE relation = 'idempotency_keys'::regclass AND NOT granted"
        async with at.database.connection() as one, one.transaction():
            await one.execute(LOCK_KEYS)
            posting = asyncio.create_task(at.store.create(new_order(key="k", body_hash=body)))

            async def it_waits() -> bool:
                return await (await one.execute(waits)).fetchone() is not None

            await until(it_waits)
            await one.execute(INSERT_KEY, {"digest": digest, "id": original})
        assert (await posting).order_id == original


# ---- more than one worker, and its death -----------------------------------------------------------------------------


async def test_a_comparison_that_was_cut_off_is_taken_up_where_it_was(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1))
        at.chain.per_look = 0
        killed = asyncio.create_task(at.permit())
        await until(lambda: at.chain.asked.count("heights") > 2)
        killed.cancel()
        await asyncio.wait([killed])
        assert await at.is_lost(order_id)
        at.chain.heights_of, at.chain.per_look = {"a": 1_000 + VALID_FOR + AHEAD + 1}, 0
        await at.permit()
        assert at.chain.asked.count("blockhash") == 1, "the wait does not begin anew"
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_promise_5_a_node_that_leaps_while_the_worker_restarts_does_not_shorten_the_wait(
    database_address: Address,
) -> None:
    """The next worker has no earlier reports of the node, but the record has the start of the wait."""
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.lands(AttemptId(order_id := new_order().id, 1))
        at.chain.per_look = 0
        killed = asyncio.create_task(at.permit())
        await until(lambda: at.chain.asked.count("heights") > 2)
        killed.cancel()
        await asyncio.wait([killed])
        honest, at.chain.heights_of = at.chain.heights_of, {"a": 22_000_000}
        at.chain.asked.clear()
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.asked.count("heights") > 40)
        assert "history" not in at.chain.asked
        assert await at.is_lost(order_id)
        at.chain.heights_of, at.chain.per_look = honest, 40
        await obtaining
        assert min(at.chain.heights_of.values()) > 1_000 + VALID_FOR + AHEAD
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_a_wait_that_an_older_version_began_counts_from_now_on(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        async with at.database.connection() as connection:
            await connection.execute(
                "INSERT INTO chain_comparisons (genesis, wallet, pending, dead_height, back_to)"
                " VALUES (%s, %s, record_identity(), 1160, 0)",
                (GENESIS, WALLET.address),
            )
        assert (await at.comparisons.state(GENESIS, WALLET.address)).begun_seconds == 0
        await at.permit()
        assert "blockhash" not in at.chain.asked


async def test_a_comparison_that_dies_after_some_orders_goes_on_with_the_others(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        ids = [new_order().id for _ in range(3)]
        for order_id in ids:
            at.lands(AttemptId(order_id, 1))
        first = at.comparison()
        restore = at.comparisons.restore
        written: list[UUID] = []

        async def dies(restoration: Any) -> bool:
            if written:
                raise asyncio.CancelledError
            written.append(restoration.order_id)
            return await restore(restoration)

        at.comparisons.restore = dies  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await first.ensure()
        at.comparisons.restore = restore  # type: ignore[method-assign]
        assert sum([await at.is_lost(one) for one in ids]) == 2
        await at.permit()
        assert [(await at.read(one))["status"] for one in ids] == ["confirmed"] * 3
        assert [len((await at.read(one))["events"]) for one in ids] == [5] * 3


async def test_of_two_workers_one_compares_and_the_other_waits_for_it(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.lands(AttemptId(order_id := new_order().id, 1))
        other = ScriptedHistory(kept=at.chain.kept, memos=at.chain.memos, fates=at.chain.fates)
        at.chain.per_look = 0
        first = asyncio.create_task(at.permit())
        await until(lambda: "heights" in at.chain.asked)
        waiting = at.permission(at.comparison(other))
        second = asyncio.create_task(waiting.obtain())
        await until(at.store.signing_stopped)
        await asyncio.sleep(0)
        assert not second.done()
        at.chain.per_look = 40
        await asyncio.gather(first, second)
        assert set(other.asked) <= {"newest"}, "the other read nothing back"
        assert waiting.identity() == await at.identity()
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_a_record_that_changes_in_the_middle_is_compared_again(database_address: Address) -> None:
    async with setup(database_address) as at:
        standing = await at.comparisons.state(GENESIS, WALLET.address)
        assert not await at.comparisons.compared(GENESIS, WALLET.address, "1/00000001"), "that is not what answers"
        assert await at.comparisons.compared(GENESIS, WALLET.address, standing.identity)


async def test_each_wallet_is_compared_for_itself(database_address: Address) -> None:
    async with setup(database_address) as at:
        await at.permit()
        assert (await at.comparisons.state(GENESIS, STRANGER.address)).compared == await at.identity()
        await at.moves_to_another_postgres()
        await at.permit()
        assert (await at.comparisons.state(GENESIS, STRANGER.address)).compared == "1/00000001"
