"""Quotes of tokens with transfer fees: what leaves and what reaches the wallet, with the curve between the vaults."""

from dataclasses import replace
from struct import pack

import pytest

from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer, NoRoute
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import TOKEN_2022
from dexexec_adapters.solana.transfer_fees import TransferFee
from tests.support import meteora_accounts as at
from tests.support.meteora_accounts import DEADLINE, chain_of, clock_account, meteora
from tests.support.raydium_accounts import RecordedChain, mint_account, patched

AMOUNT = 1_000_000_007
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=AMOUNT, mode=Mode.EXACT_IN, slippage_bps=50)
BUY = replace(SELL, amount=5_000_001, mode=Mode.EXACT_OUT)
FEE = TransferFee(123, U64_MAX)
OTHER = TransferFee(7, 5_000)


def market(*fees: TransferFee | None, epoch: int = 0, begins: int = 0) -> RecordedChain:
    """A pool whose tokens A and B have these fees, from an epoch on; earlier there is none."""
    flags = [(where, bytes([fee is not None])) for where, fee in zip(at.FLAGS_AT, fees, strict=True)]
    chain = chain_of(patched(at.pool_of(), *flags))
    for mint, fee in zip((WSOL, USDC), fees, strict=True):
        if fee is not None:
            body = bytes(72) + pack("<QQHQQH", 0, 0, 0, begins, fee.most, fee.bps)
            chain.held = {**chain.held, mint: mint_account(TOKEN_2022, (1, body))}
    clock = clock_account()
    chain.held = {**chain.held, CLOCK: replace(clock, data=patched(clock.data, (16, epoch)))}
    return chain


async def quoted(chain: RecordedChain, request: SwapRequest = SELL) -> Quote:
    return await meteora(chain).quote(request, DEADLINE)


async def test_an_exact_input_loses_the_fee_before_the_pool_and_after_it() -> None:
    plain = await quoted(market(None, None), replace(SELL, amount=AMOUNT - FEE.of(AMOUNT)))
    quote = await quoted(market(FEE, OTHER))
    assert quote.amount_in == AMOUNT
    assert quote.amount_out == plain.amount_out - OTHER.of(plain.amount_out)
    assert (quote.min_out, quote.max_in) == (min_out(quote.amount_out, 50), AMOUNT)
    assert (quote.fee, quote.fee_mint) == (plain.fee, plain.fee_mint), "the venue keeps nothing of it"


async def test_an_exact_output_is_what_arrives_and_the_input_what_leaves() -> None:
    plain = await quoted(market(None, None), replace(BUY, amount=OTHER.before(BUY.amount)))
    quote = await quoted(market(FEE, OTHER), BUY)
    assert quote.amount_out == quote.min_out == BUY.amount
    assert quote.amount_in == FEE.before(plain.amount_in)
    assert quote.max_in == max_in(quote.amount_in, 50)


async def test_a_fee_belongs_to_its_token_in_both_directions() -> None:
    back = replace(SELL, mint_in=USDC, mint_out=WSOL)
    plain = await quoted(market(None, None), back)
    quote = await quoted(market(FEE, None), back)
    assert (quote.amount_in, quote.amount_out) == (AMOUNT, plain.amount_out - FEE.of(plain.amount_out))


async def test_the_fee_is_that_of_the_chains_epoch() -> None:
    plain = await quoted(market(None, None))
    before, after = [await quoted(market(None, FEE, epoch=epoch, begins=900)) for epoch in (899, 900)]
    assert before.amount_out == plain.amount_out
    assert after.amount_out == plain.amount_out - FEE.of(plain.amount_out)


@pytest.mark.parametrize(
    ("fees", "request_", "problem"),
    [
        ((TransferFee(10_000, U64_MAX), None), SELL, "amount_in is 0"),
        ((None, TransferFee(10_000, U64_MAX)), SELL, "the transfer fee of the output leaves nothing"),
        ((TransferFee(10_000, U64_MAX), None), BUY, "does not fit in 64 bits"),
        ((None, TransferFee(10_000, U64_MAX)), BUY, "it must be from 1 to"),
    ],
)
async def test_what_a_fee_makes_impossible_is_refused(
    fees: tuple[TransferFee | None, TransferFee | None], request_: SwapRequest, problem: str
) -> None:
    with pytest.raises(NoRoute, match=problem):
        await quoted(market(*fees), request_)


async def test_without_the_chains_clock_no_fee_is_guessed() -> None:
    chain = market(None, FEE)
    chain.held = {address: account for address, account in chain.held.items() if address != CLOCK}
    with pytest.raises(BadAnswer, match="there is no chain's clock"):
        await quoted(chain)
