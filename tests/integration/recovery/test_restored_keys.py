"""Idempotency keys of orders that were restored from the chain."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from dexexec.domain.api_key import owned_name
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.order import NewOrder
from dexexec.errors import IdempotencyMismatchError
from dexexec.store import Address, CostQuery
from dexexec.store.restored_keys import INSERT_KEY, LOCK_KEYS
from tests.support.compared_records import ComparisonSetup, comparison_setup, submit
from tests.support.parts import new_order
from tests.support.waiting import until

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


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
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at:
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


def posted_by(owner: int, body: bytes) -> NewOrder:
    """An order with the Idempotency-Key k, as the API stores it for that key."""
    return replace(new_order(key=owned_name(owner, "k"), body_hash=body), owner=owner)


async def test_promise_18_an_order_that_came_back_belongs_to_the_key_that_repeats_its_idempotency_key(
    database_address: Address,
) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id, body = new_order().id, b"b" * 32
        at.lands(AttemptId(order_id, 1, await digest_of(at, owned_name(1, "k"), body)))
        await at.permit()
        assert await at.store.order(order_id, 1) is None, "the chain does not name its owner"
        stranger = await at.store.create(posted_by(2, body))
        assert not stranger.replayed, "the same name of another key is another name"
        with pytest.raises(IdempotencyMismatchError):
            await at.store.create(posted_by(1, b"c" * 32))
        assert await at.store.order(order_id, 1) is None
        assert (await at.store.create(posted_by(1, body))).order_id == order_id
        assert await at.store.order(order_id, 1) is not None
        assert await at.store.order(order_id, 2) is None
        costs = await at.store.costs(CostQuery(since=BEGINNING, until=None, group_by=(), owner=1))
        assert costs.total.swaps == 1


async def test_promise_18_an_order_that_was_posted_again_before_it_came_back_gives_it_its_owner(
    database_address: Address,
) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id, body = new_order().id, b"b" * 32
        at.lands(AttemptId(order_id, 1, await digest_of(at, owned_name(1, "k"), body)))
        again = await at.store.create(posted_by(1, body))
        await at.permit()
        found = await at.store.order(again.order_id, 1)
        assert found is not None
        assert found["failureReason"] == "duplicate"
        assert await at.store.order(order_id, 1) is not None, "its client is led to it, and must see it"
