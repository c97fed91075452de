"""A Raydium swap is the bytes and the accounts that the program reads, and the guard lets it be signed."""

import struct
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import AccountMeta, Instruction, SwapInstructions
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.guard.message_rules import GuardRules, Proposal, check_message
from dexexec.settlement.solana.message import compute_unit_limit, memo
from dexexec.settlement.solana.transaction import associated_token_account, compile_message, parse_message
from dexexec.testing.clock import ManualClock
from dexexec.venue import QuoteExpired, Unsupported
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.keys import associated
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support.attempts import RECORD, an_attempt
from tests.support.raydium_accounts import (
    AUTHORITY,
    BLOCKHASH,
    PROGRAM,
    RecordedChain,
    address,
    key,
    mint_account,
    pool_accounts,
    pool_of,
    raydium,
)
from tests.support.swap_transactions import CLUSTER_RENT

AT = address(1)
PAYER = address(50)
PEPE = address(9)
EXACT_IN = Mode.EXACT_IN
EXACT_OUT = Mode.EXACT_OUT
OPEN_MS = 1_800_000_000_000
RENT_SYSTEM = "11111111111111111111111111111111"


def venue_of(*mints: str, **programs: str) -> Raydium:
    """A venue with a pool of two mints; `programs`: the token program of token 0 or 1, if it is another."""
    offsets = {"token_0": 232, "token_1": 264}
    first, second = mints
    data = pool_of((first, second), 1, *((offsets[which], program) for which, program in programs.items()))
    accounts = pool_accounts(AT, data) | {mint: mint_account(TOKEN_2022) for mint in mints if mint == PEPE}
    return raydium(RecordedChain(accounts), ManualClock(OPEN_MS))


async def built(venue: Raydium, request: SwapRequest) -> tuple[Quote, tuple[Instruction, ...]]:
    quote = await venue.quote(request, venue.context.clock.monotonic() + 1)
    unsigned = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(unsigned, SwapInstructions)
    assert (unsigned.blockhash, unsigned.signers) == (BLOCKHASH, ())
    return quote, unsigned.instructions


def swap_of(steps: tuple[Instruction, ...]) -> Instruction:
    [swap] = [step for step in steps if step.program == PROGRAM]
    return swap


def metas(*accounts: tuple[str, str]) -> tuple[AccountMeta, ...]:
    """Addresses with their marks: `s` signer, `w` writable."""
    return tuple(AccountMeta(at, signer="s" in marks, writable="w" in marks) for at, marks in accounts)


# ---- the instruction -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("turned", [False, True], ids=["0_to_1", "1_to_0"])
async def test_a_swap_names_the_thirteen_accounts_in_order_with_their_marks(turned: bool, mode: Mode) -> None:
    venue = venue_of(USDC, PEPE)
    data = next(one.data for one in venue.context.chain.held.values() if len(one.data) == 637)  # type: ignore[attr-defined]
    mint_in, mint_out = (key(data, at) for at in ((200, 168) if turned else (168, 200)))
    vault_in, vault_out = (key(data, at) for at in ((104, 72) if turned else (72, 104)))
    quote, steps = await built(
        venue, SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=10**7, mode=mode, slippage_bps=50)
    )
    swap = swap_of(steps)
    assert swap.accounts == metas(
        (PAYER, "s"),
        (AUTHORITY, ""),
        (key(data, 8), ""),
        (AT, "w"),
        (associated(PAYER, mint_in), "w"),
        (associated(PAYER, mint_out), "w"),
        (vault_in, "w"),
        (vault_out, "w"),
        (TOKEN, ""),
        (TOKEN, ""),
        (mint_in, ""),
        (mint_out, ""),
        (key(data, 296), "w"),
    )
    if mode is EXACT_IN:
        assert swap.data == bytes.fromhex("8fbe5adac41e33de") + struct.pack("<2Q", 10**7, quote.min_out)
    else:
        assert swap.data == bytes.fromhex("37d96256a34ab4ad") + struct.pack("<2Q", quote.max_in, 10**7)


async def test_token_programs_follow_the_direction() -> None:
    first = min(USDC, PEPE, key=base58.decode)
    venue = venue_of(USDC, PEPE, **{"token_0" if first == PEPE else "token_1": TOKEN_2022})
    for mint_in, mint_out in ((USDC, PEPE), (PEPE, USDC)):
        programs = [TOKEN_2022 if mint == PEPE else TOKEN for mint in (mint_in, mint_out)]
        _, steps = await built(
            venue, SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=10**7, mode=EXACT_IN, slippage_bps=50)
        )
        accounts = [meta.address for meta in swap_of(steps).accounts]
        assert accounts[8:12] == [*programs, mint_in, mint_out]
        assert accounts[4:6] == [
            associated(PAYER, mint, program) for mint, program in zip((mint_in, mint_out), programs, strict=True)
        ]
        assert steps[0] == spl.create_associated_idempotent(PAYER, accounts[5], PAYER, mint_out, programs[1])


# ---- what stands around it -------------------------------------------------------------------------------------------


async def test_tokens_for_tokens_is_the_account_that_receives_and_the_swap() -> None:
    _, steps = await built(
        venue_of(USDC, PEPE), SwapRequest(mint_in=PEPE, mint_out=USDC, amount=10**7, mode=EXACT_IN, slippage_bps=50)
    )
    target = associated(PAYER, USDC)
    assert steps == (
        Instruction(
            spl.ASSOCIATED_TOKEN,
            metas((PAYER, "sw"), (target, "w"), (PAYER, ""), (USDC, ""), (RENT_SYSTEM, ""), (TOKEN, "")),
            b"\x01",
        ),
        swap_of(steps),
    )


@pytest.mark.parametrize("mode", list(Mode))
async def test_sol_that_is_paid_is_wrapped_as_far_as_its_bound_and_the_rest_unwrapped(mode: Mode) -> None:
    quote, steps = await built(
        venue_of(WSOL, USDC), SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**8, mode=mode, slippage_bps=50)
    )
    wrapped = associated(PAYER, WSOL)
    target = associated(PAYER, USDC)
    assert steps == (
        spl.create_associated_idempotent(PAYER, wrapped, PAYER, WSOL),
        Instruction(spl.SYSTEM, metas((PAYER, "sw"), (wrapped, "w")), struct.pack("<IQ", 2, quote.max_in)),
        Instruction(TOKEN, metas((wrapped, "w")), b"\x11"),
        spl.create_associated_idempotent(PAYER, target, PAYER, USDC),
        swap_of(steps),
        Instruction(TOKEN, metas((wrapped, "w"), (PAYER, "w"), (PAYER, "s")), b"\x09"),
    )


@pytest.mark.parametrize("mode", list(Mode))
async def test_sol_that_is_received_is_unwrapped(mode: Mode) -> None:
    _, steps = await built(
        venue_of(WSOL, USDC), SwapRequest(mint_in=USDC, mint_out=WSOL, amount=10**8, mode=mode, slippage_bps=50)
    )
    wrapped = associated(PAYER, WSOL)
    assert steps == (
        spl.create_associated_idempotent(PAYER, wrapped, PAYER, WSOL),
        swap_of(steps),
        spl.close_account(wrapped, PAYER, PAYER),
    )


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("pair", [(WSOL, USDC), (USDC, WSOL), (USDC, PEPE)], ids=["sell", "buy", "tokens"])
async def test_the_guard_finds_nothing_and_it_fits_into_a_transaction(pair: tuple[str, str], mode: Mode) -> None:
    venue = venue_of(*pair)
    quote, steps = await built(
        venue, SwapRequest(mint_in=pair[0], mint_out=pair[1], amount=10**8, mode=mode, slippage_bps=50)
    )
    attempt = an_attempt().memo(RECORD)
    message = compile_message(PAYER, (compute_unit_limit(200_000), *steps, memo(attempt)), BLOCKHASH.hash)
    assert 1 + 64 + len(message) <= 1232
    parsed = parse_message(message)
    assert parsed.signers == (PAYER,)
    proposal = Proposal(
        message=parsed,
        quote=quote,
        wallet=PAYER,
        wrapped=associated_token_account(PAYER, WSOL),
        cosigners=frozenset(),
        programs=venue.programs,
        memo=attempt,
        before=dict.fromkeys(parsed.writable),
        rent=CLUSTER_RENT,
    )
    check_message(GuardRules(max_priority_fee=0), proposal)


# ---- what is not built -----------------------------------------------------------------------------------------------


async def test_a_quote_is_built_until_it_expires_and_not_from_then_on() -> None:
    venue = venue_of(WSOL, USDC)
    quote = await venue.quote(
        SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**8, mode=EXACT_IN, slippage_bps=50), 60
    )
    clock: Any = venue.context.clock
    clock.advance((quote.expires_at_ms - clock.unix_ms()) / 1000 - 0.001)
    await venue.build(quote, PAYER, BLOCKHASH)
    clock.advance(0.001)
    with pytest.raises(QuoteExpired):
        await venue.build(quote, PAYER, BLOCKHASH)


async def test_a_quote_of_another_venue_or_without_its_pool_is_not_built() -> None:
    venue = venue_of(WSOL, USDC)
    quote = await venue.quote(
        SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**8, mode=EXACT_IN, slippage_bps=50), 60
    )
    for other in (replace(quote, venue="meteora"), replace(quote, raw={}), replace(quote, raw={"pool": "x"})):
        with pytest.raises(Unsupported, match="cannot be built"):
            await venue.build(other, PAYER, BLOCKHASH)
