"""Brackets: the final fill of an entry arms its exits once, for what was received, and one exit cancels the other."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from dexexec.domain.bracket import Bracket, Exit, ExitRole
from dexexec.domain.bracket_exits import exit_id
from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.domain.terms import Terms
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import GroupHeldError
from dexexec.store import Resolution, RestingOrder, Store, Triggering
from dexexec.store.follow_ups import FROM_THE_START
from tests.contract.test_store_groups import (
    FILL,
    TOKENS,
    claim_member,
    finish,
    follow_all,
    status_of,
    submit,
)
from tests.support.parts import new_order
from tests.support.prepared_orders import Open, step

BRACKET = Bracket(take_profit=Exit(price=Decimal("140")), stop=Exit(price=Decimal("160")))


def entry(bracket: Bracket = BRACKET) -> NewOrder:
    """A market order that buys, with a bracket."""
    return replace(new_order(), terms=Terms(bracket=bracket), tag="mine")


async def filled(store: Store, order: NewOrder) -> UUID:
    """The order, with a final fill."""
    worker = await store.begin("w", 20)
    claimed = await claim_member(store, worker, order)
    await submit(store, claimed)
    await finish(store, claimed)
    await worker.end()
    return claimed.order.id


async def exits(store: Store, parent: UUID) -> dict[UUID, RestingOrder]:
    """The exits that rest."""
    orders, _ = await store.rested_since(0)
    ids = {exit_id(parent, role) for role in ExitRole}
    return {order.id: order for order in orders if order.id in ids}


async def test_promise_22_a_final_fill_arms_both_exits_for_what_was_received_and_a_confirmed_one_none(
    stores: Open,
) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        worker = await store.begin("w", 20)
        claimed = await claim_member(store, worker, entry())
        await submit(store, claimed)
        seen = Resolution(1, None, {"slot": 7, "finalized": False})
        assert await store.advance(step(claimed, 4, (Status.CONFIRMED, {}), resolution=seen, fill=FILL))
        assert await follow_all(store) == []
        assert await exits(store, claimed.order.id) == {}, "the chain may take the fill back"
        final = Resolution(1, Outcome.LANDED, {"slot": 7, "finalized": True})
        last = (Status.CONFIRMED, {"finalized": True})
        assert await store.advance(step(claimed, 5, last, resolution=final, final=True, fill=FILL))
        reported = len(announced)
        [followed] = await follow_all(store)
        armed = await exits(store, claimed.order.id)
        assert (set(followed.armed), followed.done) == (set(armed), True)
        assert len(armed) == 2
        assert {(order.side, order.amount_base) for order in armed.values()} == {(Side.SELL, FILL.amount_out)}
        new = announced[reported:]
        assert sorted((event.order_id, event.seq) for event in new) == sorted((one, n) for one in armed for n in (1, 2))
        assert {event.detail["tag"] for event in new if event.seq == 1} == {"mine"}
        assert [await status_of(store, one) for one in armed] == ["waiting", "waiting"]
        await worker.end()


async def test_a_bracket_is_armed_once_however_many_processes_follow_up(stores: Open) -> None:
    async with stores() as one, stores() as two:
        parent = await filled(one, entry())
        [ended] = await one.ended_orders(FROM_THE_START, 10)
        first = await one.follow_up(ended, TOKENS)
        again = await two.follow_up(ended, TOKENS)
        assert (len(first.armed), again.armed, again.events) == (2, [], [])
        assert len(await exits(two, parent)) == 2


async def test_promise_22_of_two_exits_that_are_triggered_together_one_is_filled_and_the_other_cancelled(
    stores: Open,
) -> None:
    async with stores() as store:
        parent = await filled(store, entry())
        await follow_all(store)
        worker = await store.begin("w", 20)
        resting = (await exits(store, parent)).values()
        await store.trigger([Triggering(order_id=one.id, version=one.version, detail={}) for one in resting])
        claims = await store.claim(worker.id, [one.id for one in resting], 2)
        assert len(claims) == 2
        profit, stop = sorted(claims, key=lambda claimed: claimed.order.id != exit_id(parent, ExitRole.TAKE_PROFIT))
        assert await submit(store, profit)
        with pytest.raises(GroupHeldError):
            await submit(store, stop)
        await finish(store, profit)
        await follow_all(store)
        assert await status_of(store, stop.order.id) == "cancelled"
        assert await status_of(store, profit.order.id) == "confirmed"
        await worker.end()


async def test_an_entry_that_ends_without_a_fill_arms_nothing(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        failed = await claim_member(store, worker, entry())
        assert await store.advance(step(failed, 1, (Status.FAILED, {}), final=True, reason="no-route"))
        cancelled = (await store.create(entry())).order_id
        await store.cancel(cancelled)
        assert [followed.armed for followed in await follow_all(store)] == [[], []]
        assert await exits(store, failed.order.id) == await exits(store, cancelled) == {}
        assert await follow_all(store) == []
        await worker.end()


async def test_an_exit_that_its_client_cancels_leaves_the_other_one_armed(stores: Open) -> None:
    async with stores() as store:
        parent = await filled(store, entry())
        await follow_all(store)
        await store.cancel(exit_id(parent, ExitRole.TAKE_PROFIT))
        assert [followed.cancelled for followed in await follow_all(store)] == [[]]
        assert await status_of(store, exit_id(parent, ExitRole.STOP)) == "waiting"


async def test_exits_whose_token_is_not_configured_are_armed_once_it_is(stores: Open) -> None:
    async with stores() as store:
        parent = await filled(store, entry())
        [ended] = await store.ended_orders(FROM_THE_START, 10)
        followed = await store.follow_up(ended, Tokens(KNOWN[:1]))
        assert (followed.unknown_mints, followed.armed, followed.done) == ([KNOWN[1].mint], [], False)
        assert await exits(store, parent) == {}
        [followed] = await follow_all(store)
        assert (len(followed.armed), followed.done) == (2, True)


@pytest.mark.parametrize("role", list(ExitRole))
async def test_a_bracket_with_one_exit_arms_that_one(stores: Open, role: ExitRole) -> None:
    part = Bracket(take_profit=BRACKET.take_profit) if role is ExitRole.TAKE_PROFIT else Bracket(stop=BRACKET.stop)
    async with stores() as store:
        parent = await filled(store, entry(part))
        [followed] = await follow_all(store)
        assert followed.armed == [exit_id(parent, role)]
