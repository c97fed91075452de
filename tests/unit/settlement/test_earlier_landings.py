"""Earlier attempts that landed although they were proven gone: they end the order and stop the later attempt."""

import asyncio
from dataclasses import replace

import pytest

from dexexec.domain.swap import (
    Landed,
    SwapStatus,
    Unavailable,
)
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.settlement import Settlement
from dexexec.venue import Network
from tests.support.scripted import SELL_ONE_SOL, ScriptedChain
from tests.support.scripted_settlement import (
    ALIVE,
    CONFIRMED,
    EXPIRED,
    FAILED,
    FILL,
    LANDED,
    ScriptedSettlement,
)

EARLIER = EarlierLanding("first", FILL, finalized=True)


async def test_rule_4_an_attempt_expires_only_when_no_signature_of_the_order_is_on_chain() -> None:
    scripted = ScriptedSettlement(EXPIRED, EXPIRED, EXPIRED)
    scripted.chain.earlier = {"first": CONFIRMED}
    task = asyncio.ensure_future(scripted.settle(earlier_signatures=("zeroth", "first")))
    while scripted.chain.searched < 20:
        await asyncio.sleep(0)
    assert not task.done()
    scripted.chain.earlier = {}
    result = await task
    assert (result.outcome, result.proof["signatures"]) == ("expired", ["sig", "zeroth", "first"])


@pytest.mark.parametrize("ending", [EXPIRED, FAILED], ids=["expired", "failed"])
async def test_promise_5_an_attempt_without_effect_returns_an_earlier_landing_once_that_is_final(
    ending: SwapStatus,
) -> None:
    scripted = ScriptedSettlement(ending)
    scripted.chain.earlier = {"first": CONFIRMED}
    task = asyncio.ensure_future(scripted.settle(earlier_signatures=("zeroth", "first")))
    while scripted.chain.searched < 20:
        await asyncio.sleep(0)
    assert not task.done()
    scripted.chain.earlier = {"first": LANDED}
    result = await task
    assert (result.outcome, result.fill) == ("expired" if ending is EXPIRED else "failed", None)
    assert result.earlier == (EARLIER,)


@pytest.mark.parametrize("landed", [CONFIRMED, LANDED], ids=["confirmed", "final"])
@pytest.mark.parametrize("earlier", [CONFIRMED, LANDED], ids=["earlier confirmed", "earlier final"])
async def test_promise_3_a_fill_includes_an_earlier_attempt_that_landed_as_well(
    landed: Landed, earlier: Landed
) -> None:
    scripted = ScriptedSettlement(ALIVE, landed)
    scripted.chain.earlier = {"first": earlier}
    result = await scripted.settle(earlier_signatures=("zeroth", "first"))
    # It ends the order only when both are final, so that the record has the outcome of both.
    both_final = landed.finalized and earlier.finalized
    assert (result.outcome, result.fill) == ("landed" if both_final else "confirmed", FILL)
    assert result.earlier == (replace(EARLIER, finalized=earlier.finalized),)


async def test_promise_3_a_fill_is_returned_while_the_status_of_earlier_attempts_is_unavailable() -> None:
    scripted = ScriptedSettlement(LANDED)
    scripted.chain.earlier = {"first": Unavailable("503")}
    result = await scripted.settle(earlier_signatures=("first",))
    assert (result.outcome, result.earlier) == ("landed", ())


@pytest.mark.parametrize("resumed", [False, True])
async def test_promise_3_nothing_is_sent_again_once_an_earlier_attempt_is_seen_on_chain(resumed: bool) -> None:
    scripted = ScriptedSettlement(*[ALIVE] * 30, EXPIRED)
    scripted.chain.earlier = {"first": LANDED}
    assert (await scripted.settle(resumed=resumed, earlier_signatures=("first",))).earlier == (EARLIER,)
    assert len(scripted.chain.sent) == (0 if resumed else 1)


async def test_promise_5_earlier_attempts_are_looked_up_on_every_chain_and_an_outage_shows_none() -> None:
    scripted, other = ScriptedSettlement(), ScriptedChain()
    settlement = Settlement(
        {Network.SIMULATED: scripted.chain, Network.LOCALNET: other},
        {},
        scripted.clock,
        Observer(make_logger("critical")),
    )
    assert await settlement.find_landed(["zeroth", "first"], SELL_ONE_SOL) == ()
    other.earlier = {"first": LANDED}
    assert await settlement.find_landed(["zeroth", "first"], SELL_ONE_SOL) == (EARLIER,)
