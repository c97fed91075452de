"""Comparisons that are interrupted, and several workers that need one."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.attempt_id import AttemptId
from dexexec.recovery.chain_comparison import AHEAD
from dexexec.store import Address
from tests.support.compared_records import GENESIS, STRANGER, VALID_FOR, WALLET, ScriptedHistory, comparison_setup
from tests.support.parts import new_order
from tests.support.waiting import until


async def test_a_comparison_that_was_cut_off_is_taken_up_where_it_was(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1))
        at.chain.per_look = 0
        killed = asyncio.create_task(at.permit())
        await until(lambda: at.chain.requests.count("heights") > 2)
        killed.cancel()
        await asyncio.wait([killed])
        assert await at.is_lost(order_id)
        at.chain.heights_of, at.chain.per_look = {"a": 1_000 + VALID_FOR + AHEAD + 1}, 0
        await at.permit()
        assert at.chain.requests.count("blockhash") == 1, "the wait does not begin anew"
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_promise_5_a_node_that_leaps_while_the_worker_restarts_does_not_shorten_the_wait(
    database_address: Address,
) -> None:
    """The next worker has no earlier reports of the node, but the record has the start of the wait."""
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.lands(AttemptId(order_id := new_order().id, 1))
        at.chain.per_look = 0
        killed = asyncio.create_task(at.permit())
        await until(lambda: at.chain.requests.count("heights") > 2)
        killed.cancel()
        await asyncio.wait([killed])
        honest, at.chain.heights_of = at.chain.heights_of, {"a": 22_000_000}
        at.chain.requests.clear()
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.requests.count("heights") > 40)
        assert "history" not in at.chain.requests
        assert await at.is_lost(order_id)
        at.chain.heights_of, at.chain.per_look = honest, 40
        await obtaining
        assert min(at.chain.heights_of.values()) > 1_000 + VALID_FOR + AHEAD
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_a_wait_that_an_older_version_began_counts_from_now_on(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        async with at.database.connection() as connection:
            await connection.execute(
                "INSERT INTO chain_comparisons (genesis, wallet, pending, dead_height, back_to)"
                " VALUES (%s, %s, record_identity(), 1160, 0)",
                (GENESIS, WALLET.address),
            )
        assert (await at.comparisons.state(GENESIS, WALLET.address)).begun_seconds == 0
        await at.permit()
        assert "blockhash" not in at.chain.requests


async def test_a_comparison_that_dies_after_some_orders_goes_on_with_the_others(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        at.lands(AttemptId(order_id := new_order().id, 1))
        other = ScriptedHistory(kept=at.chain.kept, memos=at.chain.memos, statuses=at.chain.statuses)
        at.chain.per_look = 0
        first = asyncio.create_task(at.permit())
        await until(lambda: "heights" in at.chain.requests)
        waiting = at.permission(at.comparison(other))
        second = asyncio.create_task(waiting.obtain())
        await until(at.store.signing_stopped)
        await asyncio.sleep(0)
        assert not second.done()
        at.chain.per_look = 40
        await asyncio.gather(first, second)
        assert set(other.requests) <= {"newest"}, "the other read nothing back"
        assert waiting.identity() == await at.identity()
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_a_record_that_changes_in_the_middle_is_compared_again(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        standing = await at.comparisons.state(GENESIS, WALLET.address)
        assert not await at.comparisons.compared(GENESIS, WALLET.address, "1/00000001"), "that is not what answers"
        assert await at.comparisons.compared(GENESIS, WALLET.address, standing.identity)


async def test_each_wallet_is_compared_for_itself(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.permit()
        assert (await at.comparisons.state(GENESIS, STRANGER.address)).compared == await at.identity()
        await at.moves_to_another_postgres()
        await at.permit()
        assert (await at.comparisons.state(GENESIS, STRANGER.address)).compared == "1/00000001"
