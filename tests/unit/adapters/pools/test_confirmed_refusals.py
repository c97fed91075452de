"""A refusal that was computed from accounts in memory counts only if a node shows the same."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account, Accounts
from dexexec.domain.token import USDC, WSOL
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, Unreachable
from dexexec_adapters.pools import refusals as refusals_module
from dexexec_adapters.pools.refusals import CONFIRMED_SECONDS, Refusals
from tests.support.raydium_accounts import RecordedChain, address, pool_accounts, pool_of, raydium

POOL = address(1)
OPEN = pool_accounts(POOL, pool_of((WSOL, USDC), 1, (373, 1)))
EMPTY = pool_accounts(POOL, pool_of((WSOL, USDC), 1, (373, 1)), (0, 0))
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
NODE_SLOT = 900


class Remembering(RecordedChain):
    """A chain with accounts in memory, and others at its node."""

    at_node: Mapping[str, Account] = OPEN
    confirmed = 0
    fault: Exception | None = None

    async def accounts_now(self, addresses: Sequence[str]) -> Accounts:
        self.confirmed += 1
        if self.fault is not None:
            raise self.fault
        return Accounts(NODE_SLOT, tuple(self.at_node.get(one) for one in addresses))


async def test_a_pool_that_only_memory_shows_as_empty_is_quoted_by_what_a_node_shows() -> None:
    chain = Remembering(EMPTY)
    quote = await raydium(chain).quote(SELL, 60.0)
    assert (quote.route, quote.context_slot, chain.confirmed) == ((POOL,), NODE_SLOT, 1)


async def test_what_memory_can_quote_needs_no_node() -> None:
    chain = Remembering(OPEN)
    assert (await raydium(chain).quote(SELL, 60.0)).context_slot != NODE_SLOT
    assert chain.confirmed == 0


async def test_without_a_node_nothing_is_refused_for_good() -> None:
    chain = Remembering(EMPTY)
    chain.fault = Unreachable("no node", shared=True)
    with pytest.raises(Unreachable):
        await raydium(chain).quote(SELL, 60.0)


async def test_a_refusal_that_a_node_confirmed_a_moment_ago_needs_no_other_request() -> None:
    chain = Remembering(EMPTY)
    chain.at_node = EMPTY
    clock = ManualClock()
    venue = raydium(chain, clock)
    for seconds, requests in ((0.0, 1), (CONFIRMED_SECONDS / 2, 1), (CONFIRMED_SECONDS, 2)):
        clock.advance(seconds)
        with pytest.raises(NoRoute):
            await venue.quote(SELL, clock.monotonic() + 1.0)
        assert chain.confirmed == requests
    # Another state is another refusal.
    chain.held = {**EMPTY, POOL: replace(EMPTY[POOL], lamports=EMPTY[POOL].lamports + 1)}
    with pytest.raises(NoRoute):
        await venue.quote(SELL, clock.monotonic() + 1.0)
    assert chain.confirmed == 3


async def test_only_so_many_refusals_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals_module, "MOST_CONFIRMED", 1)
    chain: Any = Remembering(EMPTY)
    refusals = Refusals(chain, ManualClock().monotonic)
    for pool in (1, 2, 1):
        assert await refusals.read_again({address(pool): None}) is not None
    assert chain.confirmed == 3
