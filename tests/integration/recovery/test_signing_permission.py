"""When orders may be signed for, after Postgres was replaced or not."""

import asyncio

import pytest

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.status import Status
from dexexec.recovery.chain_comparison import AHEAD
from dexexec.store import Address, Step
from dexexec.venue import Unreachable
from tests.support.compared_records import VALID_FOR, WALLET, comparison_setup, submit
from tests.support.own_transactions import swap
from tests.support.waiting import until


async def test_the_record_of_before_may_be_signed_for_after_one_glance(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        claimed, untried = await at.order(), await at.order()
        payload = swap(WALLET, AttemptId(claimed.order.id, 1).memo(at.record))
        assert await submit(at, claimed, at.lands(AttemptId(claimed.order.id, 1), payload=payload))
        assert await at.permit() == await at.identity()
        assert at.chain.requests == ["newest"]
        assert not await at.store.signing_stopped()
        assert await submit(at, untried, "sig")


async def test_nothing_is_signed_in_another_postgres_before_all_that_was_signed_is_dead_and_the_history_is_read(
    database_address: Address,
) -> None:
    async with comparison_setup(database_address) as at:
        await at.permit()
        await at.moves_to_another_postgres()
        at.chain.requests.clear()
        at.chain.heights_of = {"a": 1_000, "b": 990}
        assert await at.permit() == await at.identity()
        assert at.chain.requests[:2] == ["blockhash", "heights"]
        assert at.chain.requests[-1] == "history"
        lowest = min(at.chain.heights_of.values())
        dead = 1_000 + VALID_FOR + AHEAD
        assert dead < lowest <= dead + at.chain.per_look, "as soon as both are past it"
        at.chain.requests.clear()
        await at.permit()
        assert at.chain.requests == ["newest"], "once is enough"


async def test_while_no_node_answers_nothing_is_signed_and_readiness_reports_it(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.chain.down = Unreachable("a did not answer")
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: len(at.chain.requests) > 3)
        await until(at.store.signing_stopped)
        assert not obtaining.done()
        at.chain.down = None
        assert await obtaining == await at.identity()
        assert not await at.store.signing_stopped()


async def test_a_node_that_is_behind_keeps_signing_stopped(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.chain.heights_of, at.chain.per_look = {"a": 5_000, "b": 100}, 0
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.requests.count("heights") > 20)
        assert "history" not in at.chain.requests
        at.chain.heights_of = {"a": 5_000 + VALID_FOR + AHEAD + 1}
        await obtaining


async def test_without_a_node_that_lists_signatures_only_the_record_of_before_is_signed_for(
    database_address: Address,
) -> None:
    async with comparison_setup(database_address) as at:
        at.chain.has_lists = False
        await at.permit()
        await at.moves_to_another_postgres()
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.requests.count("history") > 3)
        assert not obtaining.done()
        obtaining.cancel()


async def test_an_attempt_is_only_recorded_in_the_postgres_that_is_permitted(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at, at.database.connection() as connection:
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
            # Rights on Postgres' own functions belong to the database, which other tests use again.
            await connection.execute(f"GRANT EXECUTE ON FUNCTION {revoked} TO PUBLIC".encode())
            await connection.execute(f"DROP ROLE {role}".encode())
