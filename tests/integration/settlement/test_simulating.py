"""A dry run on the localnet: it moves nothing and needs no key, and its fill is the one that the swap then gets."""

import math
from pathlib import Path

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.quote import Fill, Mode, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.venue import Network
from tests.support.attempts import an_attempt
from tests.support.localnet.settlement_setup import (
    BUY_SOL,
    FINAL,
    MAX_PRICE,
    SELL_SOL,
    SettlementSetup,
    settlement_setup,
)
from tests.support.localnet.worker_setup import OpenWorkers
from tests.support.orders_on_servers import statuses_of
from tests.support.sealers import chain_rent
from tests.support.swap_transactions import fixed

EXACT_OUT = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=20_000_000, mode=Mode.EXACT_OUT, slippage_bps=50)
PRICE = 1_000
SAME = ("price", "amountIn", "amountOut", "minOut", "maxIn", "slippageBps", "networkFee")
"""Of a fill, whether simulated or real."""


def without_key(at: SettlementSetup) -> Settlement:
    """A settlement that has no sealer: only the wallet's address."""
    checker = SwapChecker(
        at.chain, at.wallet.address, GuardRules(MAX_PRICE), at.clock, rent=chain_rent, price=fixed(PRICE)
    )
    return Settlement({Network.LOCALNET: at.chain}, {}, at.clock, at.observer, simulators={Network.LOCALNET: checker})


async def simulate(at: SettlementSetup, request: SwapRequest) -> Fill:
    quote = await at.venue.quote(request, at.clock.monotonic() + 20)
    return await without_key(at).simulate(at.venue, quote, math.inf, an_attempt(), bound=Bound.of(quote))


@pytest.mark.parametrize("wrapped", [False, True], ids=["no wrapped SOL", "wrapped SOL"])
@pytest.mark.parametrize("request_", [SELL_SOL, BUY_SOL, EXACT_OUT], ids=["sells SOL", "buys SOL", "exact out"])
async def test_a_simulated_fill_is_the_fill_that_the_swap_then_gets(
    tmp_path: Path, request_: SwapRequest, wrapped: bool
) -> None:
    async with settlement_setup(tmp_path, priority_fee=PRICE) as at:
        if wrapped:
            await at.chain.fund(at.wallet.address, WSOL, 9, 5_000_000)
            await at.advance(FINAL)
        dry = await simulate(at, request_)
        result = await at.settle(await at.signed(request_), request_)
        assert result.fill is not None
        assert (dry.amount_in, dry.amount_out, dry.fee) == (
            result.fill.amount_in,
            result.fill.amount_out,
            result.fill.fee,
        )


async def test_promise_19_a_dry_run_sends_nothing_and_moves_nothing(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        cosigned: list[bytes] = []

        async def cosign(message: bytes) -> dict[str, bytes]:
            cosigned.append(message)
            return {}

        at.venue.cosign = cosign  # type: ignore[method-assign]
        held = await at.holds(USDC), await at.lamports(), await at.swaps()
        for request in (SELL_SOL, BUY_SOL, EXACT_OUT):
            await simulate(at, request)
        await at.advance(FINAL)
        assert (await at.holds(USDC), await at.lamports(), await at.swaps()) == held
        assert at.request_log.sends == []
        assert cosigned == [], "the venue signs nothing either"


async def test_promise_19_the_guard_refuses_in_a_dry_run_what_it_refuses_to_sign(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        quote = await at.venue.quote(SELL_SOL, at.clock.monotonic() + 20)
        checker = SwapChecker(
            at.chain, at.wallet.address, GuardRules(PRICE - 1), at.clock, rent=chain_rent, price=fixed(PRICE)
        )
        settlement = Settlement(
            {Network.LOCALNET: at.chain}, {}, at.clock, at.observer, simulators={Network.LOCALNET: checker}
        )
        with pytest.raises(GuardError) as caught:
            await settlement.simulate(at.venue, quote, math.inf, an_attempt(), bound=Bound.of(quote))
        assert caught.value.rule is Rule.COMPUTE
        tighter = Bound(quote.min_out + 1, quote.max_in)
        with pytest.raises(GuardError) as caught:
            await settlement.simulate(at.venue, quote, math.inf, an_attempt(), bound=tighter)
        assert caught.value.rule is Rule.BOUND


async def test_promise_19_a_dry_order_on_a_real_chain_leaves_no_trace_there(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        held = await b.at.holds(USDC), await b.at.lamports(), await b.at.swaps()
        dry = await b.post()
        async with b.working(dry_run=True):
            assert statuses_of(await b.ended(dry)) == ["pending", "routing", "building", "simulated"]
        await b.at.advance(FINAL)
        assert (await b.at.holds(USDC), await b.at.lamports(), await b.at.swaps()) == held
        assert (b.at.request_log.sends, await b.attempts()) == ([], [])
        simulated = (await b.view(dry))["fill"]
        real = await b.post()
        async with b.working():
            await b.settled(real)
        filled = (await b.executed_once(real))["fill"]
        assert {name: simulated[name] for name in SAME} == {name: filled[name] for name in SAME}
