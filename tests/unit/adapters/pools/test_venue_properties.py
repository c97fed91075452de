"""Properties of venues with pools: node data is quoted or refused with a reason, and no round trip makes a profit."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import VENUE_ERRORS, NoRoute
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support import meteora_accounts as at
from tests.support.meteora_accounts import chain_of, meteora
from tests.support.raydium_accounts import (
    CONFIG_DATA,
    PROGRAM,
    RecordedChain,
    address,
    mint_account,
    patched,
    pool_accounts,
    raydium,
)
from tests.support.recorded_venues import OLD, WITH_CREATOR

WITH_2022 = patched(OLD, (264, TOKEN_2022))
SETUPS: dict[str, tuple[Any, Mapping[str, Account]]] = {
    "raydium": (raydium, pool_accounts(address(1), OLD)),
    "raydium-creator": (raydium, pool_accounts(address(1), WITH_CREATOR, config=patched(CONFIG_DATA, (108, 500)))),
    "raydium-2022": (
        raydium,
        pool_accounts(address(1), WITH_2022) | {USDC: mint_account(TOKEN_2022, (18, bytes(64)), (19, b"name"))},
    ),
    "meteora": (meteora, chain_of(at.pool_of()).held),
    "meteora-both": (meteora, chain_of(at.pool_of(data=at.BOTH_FEES)).held),
    "meteora-compounding": (meteora, chain_of(at.pool_of(data=at.COMPOUNDING)).held),
    "meteora-dynamic": (meteora, chain_of(at.pool_of(data=at.DYNAMIC)).held),
    "meteora-range": (meteora, chain_of(at.pool_of(data=at.RANGE)).held),
    "meteora-linear": (meteora, chain_of(at.pool_of(data=at.LINEAR)).held),
    "meteora-2022": (meteora, chain_of(at.pool_of((WSOL, USDC), 1, at.ONLY_B, (at.FLAGS_AT[1], b"\1"))).held),
}
each_setup = pytest.mark.parametrize("setup", SETUPS)
OWNERS = (TOKEN, TOKEN_2022, PROGRAM, at.PROGRAM.address, address(5))
requests = st.builds(
    lambda sell, amount, mode: SwapRequest(
        mint_in=WSOL if sell else USDC,
        mint_out=USDC if sell else WSOL,
        amount=amount,
        mode=mode,
        slippage_bps=50,
    ),
    st.booleans(),
    st.integers(1, U64_MAX) | st.sampled_from([1, 10**6, 10**9, U64_MAX]),
    st.sampled_from(Mode),
)


def other(account: Account) -> st.SearchStrategy[Account | None]:
    """Nothing at all, or an account with other bytes, cut off, overwritten, or of another owner."""
    data = account.data
    owner = account.owner
    cut = st.integers(0, len(data)).map(lambda size: data[:size])
    places = st.tuples(st.integers(0, len(data) - 16), st.binary(min_size=1, max_size=16))
    written = st.lists(places, min_size=1, max_size=6).map(lambda changes: patched(data, *changes))
    kept = written | cut | st.binary(max_size=1_200) | st.binary(min_size=len(data), max_size=len(data))
    foreign = st.sampled_from(OWNERS).map(lambda one: Account(one, 1, data))
    return st.none() | foreign | kept.map(lambda found: Account(owner, 1, found))


@each_setup
@settings(max_examples=30, deadline=None)
@given(data=st.data(), request_=requests)
def test_for_any_accounts_of_a_node_the_answer_is_a_quote_or_a_refusal(
    setup: str, data: st.DataObject, request_: SwapRequest
) -> None:
    """The pools are configured by address, so each is read in any state; the venue has seen nothing else before."""
    make, held = SETUPS[setup]
    places = data.draw(st.lists(st.sampled_from(sorted(held)), min_size=1, max_size=3, unique=True))
    shown = dict(held)
    for place in places:
        changed = data.draw(other(held[place]))
        shown.pop(place) if changed is None else shown.update({place: changed})
    venue = make(RecordedChain(shown), pools=address(1))

    async def answers() -> list[object]:
        asked = (venue.prepare(), venue.quote(request_, venue.context.clock.monotonic() + 10))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    prepared, answer = asyncio.run(answers())
    assert prepared is None or isinstance(prepared, VENUE_ERRORS)
    assert isinstance(answer, (Quote, *VENUE_ERRORS)), answer
    if isinstance(answer, Quote):
        amounts = answer.amount_in, answer.amount_out, answer.min_out, answer.max_in, answer.fee
        assert all(0 <= amount <= U64_MAX for amount in amounts)


@each_setup
@settings(max_examples=30, deadline=None)
@given(
    mints=st.sampled_from([(WSOL, USDC), (USDC, WSOL)]),
    amount=st.integers(1, 10**12),
    modes=st.tuples(st.sampled_from(Mode), st.sampled_from(Mode)),
)
def test_there_and_back_never_gains(setup: str, mints: tuple[str, str], amount: int, modes: tuple[Mode, Mode]) -> None:
    """While a pool does not change, selling the output of a swap returns no more than was paid for it, and buying the
    input back costs no less. (Tests of the curves cover how a swap changes a pool.)"""
    make, held = SETUPS[setup]
    venue = make(RecordedChain(held))

    async def swapped(request: SwapRequest) -> Quote:
        quote: Quote = await venue.quote(request, venue.context.clock.monotonic() + 10)
        return quote

    async def both() -> tuple[Quote, Quote]:
        there = await swapped(
            SwapRequest(mint_in=mints[0], mint_out=mints[1], amount=amount, mode=modes[0], slippage_bps=50)
        )
        wanted = there.amount_out if modes[1] is Mode.EXACT_IN else there.amount_in
        return there, await swapped(
            SwapRequest(mint_in=mints[1], mint_out=mints[0], amount=wanted, mode=modes[1], slippage_bps=50)
        )

    try:
        there, back = asyncio.run(both())
    except NoRoute:
        return
    if modes[1] is Mode.EXACT_IN:
        assert back.amount_out <= there.amount_in
    else:
        assert back.amount_in >= there.amount_out
