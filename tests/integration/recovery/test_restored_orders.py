"""What a comparison with the chain restores in the record, and what it leaves alone."""

import asyncio
from uuid import uuid4

import pytest

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.status import Status
from dexexec.domain.swap import Unavailable
from dexexec.store import Address
from tests.support.compared_records import STRANGER, WALLET, comparison_setup, submit
from tests.support.own_transactions import signature_of, swap
from tests.support.parts import new_order
from tests.support.waiting import until


async def test_an_order_that_is_gone_comes_back_as_the_chain_shows_it_and_is_announced(
    database_address: Address,
) -> None:
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at:
        claimed = await at.order()
        await at.moves_to_another_postgres()
        signature = at.lands(AttemptId(claimed.order.id, 1), hint=hint)
        await at.permit()
        found = await at.read(claimed.order.id)
        assert (found["status"], found["txHash"], found["attemptCount"]) == ("confirmed", signature, 1)
        assert await submit(at, claimed, "another") is None, "whoever held it writes nothing more"


async def test_an_order_whose_lost_attempt_failed_continues_with_the_next_number(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        claimed = await at.order()
        await at.moves_to_another_postgres()
        at.lands(AttemptId(claimed.order.id, 1), failure="custom program error: 0x1771")
        await at.permit()
        again = await at.claim(claimed.order.id)
        assert (again.order.status, again.order.attempts, again.attempt) == (Status.ROUTING, 1, None)


async def test_an_order_that_is_gone_comes_back_with_the_wallet_that_paid(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1))
        await at.permission(at.comparison(name="desk-2")).obtain()
        found = await at.read(order_id)
        assert (found["status"], found["wallet"]) == ("confirmed", "desk-2")
        assert found["events"][0]["wallet"] == "desk-2"


async def test_two_attempts_of_one_order_come_back_as_one_order(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1), failure="custom program error: 0x1771")
        at.lands(AttemptId(order_id, 2))
        await at.permit()
        found = await at.read(order_id)
        reported = [(one["attempt"], one["outcome"]) for one in found["attempts"]]
        assert (found["status"], reported) == ("confirmed", [(1, "failed"), (2, "landed")])


async def test_an_attempt_that_looks_open_is_over_when_a_later_one_is_on_chain(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        claimed = await at.order()
        assert await submit(at, claimed, "first")
        await at.moves_to_another_postgres()
        at.lands(AttemptId(claimed.order.id, 2))
        await at.permit()
        found = await at.read(claimed.order.id)
        reported = [(one["attempt"], one["outcome"]) for one in found["attempts"]]
        assert (found["status"], reported) == ("confirmed", [(1, "expired"), (2, "landed")])


async def test_transactions_in_the_record_are_left_alone(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        claimed = await at.order()
        await at.moves_to_another_postgres()
        text = AttemptId(claimed.order.id, 1).memo(at.record)
        payload = swap(WALLET, text)
        assert await submit(at, claimed, signature_of(payload))
        at.lands(AttemptId(claimed.order.id, 1), payload=payload)
        before = await at.read(claimed.order.id)
        await at.permit()
        assert await at.read(claimed.order.id) == before
        assert "transaction" not in at.chain.requests, "what is known need not be read"


async def test_foreign_transactions_are_never_taken_in(database_address: Address) -> None:
    """Transactions of the same wallet by other hands, and a stranger's that names it and forges a memo."""
    async with comparison_setup(database_address) as at:
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
        assert len(await at.store.orders(10, None)) == 1


async def test_a_strangers_memo_in_our_name_costs_a_look_at_it_and_no_comparison(database_address: Address) -> None:
    """Otherwise any wallet could stop signing for a minute at each start, for the fee of one transaction."""
    async with comparison_setup(database_address) as at:
        await at.permit()
        for order_id in (new_order().id, (await at.order()).order.id):
            text = AttemptId(order_id, 1).memo(at.record)
            at.lands(AttemptId(order_id, 1), payload=swap(STRANGER, text, names=[WALLET.address]))
        at.chain.requests.clear()
        await at.permit()
        assert at.chain.requests == ["newest", "transaction", "transaction"]


async def test_a_memo_that_names_an_order_of_before_our_tables_keeps_nothing_from_being_signed(
    database_address: Address,
) -> None:
    """The record has neither mints nor base units of an order that was taken over."""
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        signature = at.lands(AttemptId(order_id := new_order().id, 1))
        certain = at.chain.statuses[signature]
        at.chain.statuses[signature] = Unavailable("some know it, others deny it")
        obtaining = asyncio.create_task(at.permit())
        await until(lambda: at.chain.requests.count("status") > 2)
        assert not obtaining.done()
        assert await at.is_lost(order_id)
        at.chain.statuses[signature] = certain
        await obtaining
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_a_backup_that_was_restored_in_place_is_noticed_by_missing_transactions(
    database_address: Address,
) -> None:
    async with comparison_setup(database_address) as at:
        await at.permit()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1))
        at.chain.requests.clear()
        await at.permit()
        assert at.chain.requests[:5] == ["newest", "transaction", "newest", "transaction", "blockhash"]
        assert (await at.read(order_id))["status"] == "confirmed"


async def test_the_history_is_read_back_to_where_the_record_is_complete(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
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
    async with comparison_setup(database_address) as at:
        async with at.database.connection() as connection:
            await connection.execute("UPDATE installation SET made_at = made_at - interval '2 hours'")
        await at.moves_to_another_postgres()
        order_id = new_order().id
        text = AttemptId(order_id, 1).memo(at.record)
        at.chain.lands(swap(WALLET, text), time=at.now - 3_600)
        await at.order()
        await at.permit()
        assert (await at.read(order_id))["status"] == "confirmed"
