"""`raydium-amm` reads only pools of the program, and names why it cannot swap in one."""

import pytest

from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, SwapInstructions
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, NoRoute, Unsupported, VenueContext, VenueError
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.raydium_amm.venue import SWAP_BASE_IN, SWAP_BASE_OUT, RaydiumAmm
from dexexec_adapters.solana.spl import TOKEN
from tests.support.raydium_accounts import BLOCKHASH, RecordedChain, address
from tests.support.raydium_amm_accounts import AUTHORITY, NONCE, PROGRAM, chain_of, pool_accounts

POOL = address(1)
PAYER = address(77)
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)


def venue_on(chain: RecordedChain) -> RaydiumAmm:
    return RaydiumAmm(VenueContext(ManualClock(), Tokens(KNOWN), chain, PoolOptions(), "mainnet-beta"))


async def quoted(chain: RecordedChain, request: SwapRequest = SELL) -> tuple[RaydiumAmm, Quote]:
    venue = venue_on(chain)
    return venue, await venue.quote(request, venue.context.clock.monotonic() + 1)


@pytest.mark.parametrize(
    ("accounts", "error", "problem"),
    [
        ({}, NoRoute, "there is no AMM v4 pool for this pair"),
        (pool_accounts(POOL, status=1), Unsupported, "order book"),
        (pool_accounts(POOL, status=5), NoRoute, "its status is 5"),
        (pool_accounts(POOL, status=7, open_time=2**40), NoRoute, f"opens at {2**40}"),
        (pool_accounts(POOL, nonce=NONCE - 1), BadAnswer, f"has the nonce {NONCE - 1}, not {NONCE}"),
        (pool_accounts(POOL, fee=(1, 1)), BadAnswer, "the swap fee"),
        (pool_accounts(POOL, (10**6, 10**6), taken=(10**6, 0)), NoRoute, "reserves are 0 and"),
    ],
)
async def test_a_pool_that_cannot_do_it_is_refused_with_its_reason(
    accounts: dict[str, Account], error: type[VenueError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        await quoted(chain_of(accounts))


async def test_the_deeper_pool_is_taken_whichever_way_round_its_tokens_are() -> None:
    chain = chain_of(
        pool_accounts(address(1), (10**12, 10**11)), pool_accounts(address(2), (10**12, 10**13), (USDC, WSOL))
    )
    _, quote = await quoted(chain)
    assert quote.route == (address(2),)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("mints", [(WSOL, USDC), (USDC, WSOL)])
async def test_the_swap_has_the_programs_accounts_in_its_order(mode: Mode, mints: tuple[str, str]) -> None:
    chain = chain_of(pool_accounts(POOL, mints=mints))
    request = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**6, mode=mode, slippage_bps=50)
    venue, quote = await quoted(chain, request)
    built = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(built, SwapInstructions)
    [swap] = [one for one in built.instructions if one.program == PROGRAM]
    vaults = [
        at for at, one in chain.held.items() if one.owner == TOKEN and one.data[32:64] == base58.decode(AUTHORITY)
    ]
    assert [one.address for one in swap.accounts[:6]] == [TOKEN, POOL, AUTHORITY, POOL, *vaults]
    assert {one.address for one in swap.accounts[6:14]} == {POOL}
    assert len(swap.accounts) == 17
    assert [one.address for one in swap.accounts if one.signer] == [PAYER]
    amounts = (quote.amount_in, quote.min_out) if mode is Mode.EXACT_IN else (quote.max_in, quote.amount_out)
    tag = SWAP_BASE_IN if mode is Mode.EXACT_IN else SWAP_BASE_OUT
    assert swap.data == tag + b"".join(amount.to_bytes(8, "little") for amount in amounts)
