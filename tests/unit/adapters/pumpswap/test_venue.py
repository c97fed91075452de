"""`pumpswap` reads only accounts of its programs, and names what it does not trade."""

import pytest

from dexexec.cli.adapter_report import list_adapters
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, SwapInstructions
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, NoRoute, Unsupported, VenueContext, VenueError
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pumpswap.venue import BUY, SELL, PumpSwap
from dexexec_adapters.solana.clusters import PUMP_FEES
from dexexec_adapters.solana.keys import associated, derived
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support.pumpswap_accounts import (
    BUYBACK_RECIPIENTS,
    CONFIG,
    FEE_CONFIG,
    PROGRAM,
    PROTOCOL_RECIPIENTS,
    chain_of,
    config_data,
    fee_config_data,
    maker,
    pool_accounts,
)
from tests.support.raydium_accounts import BLOCKHASH, RecordedChain, address, mint_account

POOL = address(1)
PAYER = address(77)
SELLING = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)
BUYING = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_OUT, slippage_bps=50)


async def quoted(chain: RecordedChain, request: SwapRequest = SELLING) -> tuple[PumpSwap, Quote]:
    venue = PumpSwap(VenueContext(ManualClock(), Tokens(KNOWN), chain, PoolOptions(), "mainnet-beta"))
    return venue, await venue.quote(request, venue.context.clock.monotonic() + 1)


@pytest.mark.parametrize(
    ("accounts", "error", "problem"),
    [
        ({}, NoRoute, "there is no PumpSwap pool for this pair"),
        (pool_accounts(POOL, mayhem=True), Unsupported, "mayhem"),
        (pool_accounts(POOL, cashback=True), Unsupported, "cashback"),
        (pool_accounts(POOL, size=211), NoRoute, "there is no PumpSwap pool for this pair"),
        (pool_accounts(POOL, (0, 10)), NoRoute, "reserves are 0 and 10"),
        (pool_accounts(POOL, mints=(WSOL, USDC), creator=maker(WSOL)), Unsupported, "another token than SOL"),
    ],
)
async def test_a_pool_that_cannot_do_it_is_refused_with_its_reason(
    accounts: dict[str, Account], error: type[VenueError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        await quoted(chain_of(accounts))


@pytest.mark.parametrize(
    ("config", "fee_config", "error", "problem"),
    [
        (config_data(disable_flags=16), None, NoRoute, "switched some of its instructions off"),
        (config_data()[:800], None, BadAnswer, "global config"),
        (None, fee_config_data()[:100], BadAnswer, "3 tiers"),
        (None, fee_config_data([(0, (9_000, 900, 100))]), BadAnswer, "below 10000"),
        (None, fee_config_data([(5, (1, 1, 1)), (5, (2, 2, 2))]), BadAnswer, "growing market caps"),
        (None, fee_config_data([(n, (1, 1, 1)) for n in range(65)]), BadAnswer, "65 tiers"),
        (None, fee_config_data([]), BadAnswer, "growing market caps"),
    ],
)
async def test_a_config_that_cannot_be_believed_is_refused(
    config: bytes | None, fee_config: bytes | None, error: type[VenueError], problem: str
) -> None:
    pool = pool_accounts(POOL, creator=maker(USDC), coin_creator=address(92))
    with pytest.raises(error, match=problem):
        await quoted(chain_of(pool, config=config, fee_config=fee_config))


async def test_a_mint_with_a_transfer_fee_is_refused() -> None:
    # A fee of 0 counts as well: it may change until the swap lands.
    pool = pool_accounts(POOL, program=TOKEN_2022)
    pool[USDC] = mint_account(TOKEN_2022, (1, bytes(108)))
    with pytest.raises(Unsupported, match="has a transfer fee"):
        await quoted(chain_of(pool))


@pytest.mark.parametrize(("request_", "other"), [(SELLING, Mode.EXACT_OUT), (BUYING, Mode.EXACT_IN)])
async def test_the_modes_that_no_document_describes_are_refused(request_: SwapRequest, other: Mode) -> None:
    chain = chain_of(pool_accounts(POOL))
    await quoted(chain, request_)
    request = SwapRequest(
        mint_in=request_.mint_in, mint_out=request_.mint_out, amount=10**9, mode=other, slippage_bps=50
    )
    with pytest.raises(Unsupported, match="exact"):
        await quoted(chain, request)


async def test_a_coin_of_pump_pays_by_its_market_cap_and_other_pools_the_flat_fees() -> None:
    flat = (await quoted(chain_of(pool_accounts(POOL))))[1]
    coin = pool_accounts(POOL, creator=maker(USDC), coin_creator=address(92))
    tiered = (await quoted(chain_of(coin)))[1]
    assert (flat.fee_mint, tiered.fee_mint) == (WSOL, WSOL)
    assert flat.fee < tiered.fee


@pytest.mark.parametrize("coin_creator", ["1" * 32, address(92)])
@pytest.mark.parametrize("request_", [SELLING, BUYING])
async def test_the_swap_has_the_programs_accounts_in_its_order(request_: SwapRequest, coin_creator: str) -> None:
    chain = chain_of(pool_accounts(POOL, coin_creator=coin_creator))
    venue, quote = await quoted(chain, request_)
    built = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(built, SwapInstructions)
    [swap] = [one for one in built.instructions if one.program == PROGRAM]
    addresses = [one.address for one in swap.accounts]
    sells = request_.mode is Mode.EXACT_IN
    protocol, buyback = PROTOCOL_RECIPIENTS[1], BUYBACK_RECIPIENTS[1]
    assert addresses[:5] == [POOL, PAYER, CONFIG, USDC, WSOL]
    assert addresses[5:7] == [associated(PAYER, USDC), associated(PAYER, WSOL)]
    assert addresses[9:13] == [protocol, associated(protocol, WSOL), TOKEN, TOKEN]
    assert addresses[16] == PROGRAM
    authority = derived(PROGRAM, b"creator_vault", bytes(32)) if coin_creator == "1" * 32 else addresses[18]
    assert addresses[17:19] == [associated(authority, WSOL), authority]
    assert addresses[19 if sells else 21 :][:2] == [FEE_CONFIG, PUMP_FEES]
    assert addresses[-2:] == [buyback, associated(buyback, WSOL)]
    # As many as the documents count, for coins of pump and for other pools.
    assert len(addresses) == (23 if sells else 25) + (coin_creator != "1" * 32)
    assert [one.address for one in swap.accounts if one.signer] == [PAYER]
    if sells:
        data = SELL + quote.amount_in.to_bytes(8, "little") + quote.min_out.to_bytes(8, "little")
    else:
        data = BUY + quote.amount_out.to_bytes(8, "little") + quote.max_in.to_bytes(8, "little") + b"\0"
    assert swap.data == data


def test_the_list_of_adapters_marks_it_as_unproven(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_adapters(["mock-raydium"]) == 0
    assert "pumpswap is unproven: its quotes follow documents" in capsys.readouterr().out
