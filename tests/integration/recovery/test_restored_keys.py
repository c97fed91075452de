"""Idempotency keys of orders that were restored from the chain."""

import asyncio
from uuid import uuid4

import pytest

from dexexec.domain.attempt_id import AttemptId
from dexexec.errors import IdempotencyMismatchError
from dexexec.store import Address
from dexexec.store.restored_keys import INSERT_KEY, LOCK_KEYS
from tests.support.compared_records import ComparisonSetup, comparison_setup, submit
from tests.support.parts import new_order
from tests.support.waiting import until


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
