"""Tips on the localnet: they are paid with the swap, and are no part of what it moved."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec.bootstrap.background import running
from dexexec.clock import SystemClock
from dexexec.domain.funds import LAMPORTS, PriorityFee, Tip
from dexexec.domain.solana import Instruction
from dexexec.domain.swap import Landed
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.solana.bids import Bids
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.message import budget, network_fee
from dexexec.settlement.solana.wallet import Wallet
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import pay
from tests.support.localnet.rpc_chains import sign_swap
from tests.support.localnet.sealing_setup import FEE, OUT, PROGRAM, SIGNATURES, NoWaitClock, SealingSetup, sealing_setup
from tests.support.message_versions import version  # noqa: F401 - runs each test once per version
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import MAX_IN, message_of
from tests.support.swap_transactions import pay as paying

LOWEST_BALANCE = 890_880
"""Lamports that a plain account must hold on the localnet."""


async def sealed_with(at: SealingSetup, bids: Bids, *steps: Instruction, attempt: int = 1, price: int = 0) -> Sealed:
    unsigned = await at.build(*(steps or at.honest()))
    until = SystemClock().monotonic() + 60
    sealer = at.sealer(price, bids=bids)
    return await sealer.seal(at.venue, at.quote(), unsigned, until, replace(an_attempt(), attempt=attempt))


async def builder_of(at: SealingSetup) -> str:
    """The account of a block builder, which exists."""
    builder = await at.net.funded()
    await at.net.advance(2)
    return str(builder.pubkey())


async def test_a_tip_is_paid_with_the_swap_and_is_no_part_of_what_moved(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at, running([at.chain.run]):
        builder = await builder_of(at)
        sealed = await sealed_with(at, Bids(accounts=(builder,), lamports=30_000, most=50_000))
        assert sealed.tip == Tip(builder, 30_000)
        assert sealed.spending is not None
        assert sealed.spending.amounts()[LAMPORTS] == 2_039_280 + SIGNATURES + 30_000
        before = [await at.net.balance(key) for key in (at.key.pubkey(), Pubkey.from_string(builder))]
        await at.lands(sealed.signed)
        after = [await at.net.balance(key) for key in (at.key.pubkey(), Pubkey.from_string(builder))]
        assert [now - was for was, now in zip(before, after, strict=True)] == [
            -2_039_280 - SIGNATURES - 30_000,
            30_000,
        ]
        await at.net.advance(2)
        [landed] = await at.chain.status([sealed.signed.signature], history=True)
        assert isinstance(landed, Landed)
        assert landed.cost is not None
        assert (landed.fee, landed.cost.tip, landed.cost.rent_paid) == (SIGNATURES, 30_000, 2_039_280)
        assert {mint: amount for mint, amount in landed.moved.items() if amount} == {
            at.mint_in: -MAX_IN,
            at.mint_out: OUT,
        }


async def test_a_tip_may_be_a_share_of_the_fee_which_is_known_after_the_simulation(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        builder = await builder_of(at)
        bids = Bids(accounts=(builder,), lamports=1_000, share_bps=20_000, most=10**6)
        sealed = await sealed_with(at, bids, price=500_000)
        fee = network_fee(message_of(sealed.signed.payload))
        assert fee > SIGNATURES
        assert sealed.tip == Tip(builder, 2 * fee)
        await at.lands(sealed.signed)


async def test_a_tip_that_the_wallet_cannot_pay_is_left_out_of_the_swap(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        builder = await builder_of(at)
        left = 2_039_280 + SIGNATURES + LOWEST_BALANCE + 1_000
        balance = await at.net.balance(at.key.pubkey())
        blockhash = (await at.build()).blockhash
        elsewhere = [pay(at.key, Pubkey.new_unique(), balance - left - FEE)]
        await at.lands(sign_swap(elsewhere, at.key, blockhash=blockhash))
        await at.net.advance(2)
        sealed = await sealed_with(at, Bids(accounts=(builder,), lamports=30_000, most=50_000))
        assert sealed.tip is None
        await at.lands(sealed.signed)


async def test_a_venue_that_pays_the_same_account_is_refused(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        builder = await builder_of(at)
        bids = Bids(accounts=(builder,), lamports=30_000, most=50_000)
        with pytest.raises(GuardError) as caught:
            await sealed_with(at, bids, *at.honest(), paying(at.wallet, builder, 1_000))
        assert caught.value.rule is Rule.TIP


async def test_the_next_attempt_of_an_order_offers_a_higher_price(tmp_path: Path) -> None:
    async def market(_: Sequence[str]) -> PriorityFee:
        return PriorityFee(1_000, 2_000)

    async with sealing_setup(tmp_path) as at:
        rules = GuardRules(2_000, pins=Pins({"pool": frozenset({PROGRAM})}), bids=Bids(rise_bps=5_000))
        sealer = solana_sealer(at.chain, Wallet(at.key.secret()), rules, NoWaitClock(), price=market)
        unsigned = await at.build(*at.honest())
        until = SystemClock().monotonic() + 60
        sealed = [
            await sealer.seal(at.venue, at.quote(), unsigned, until, replace(an_attempt(), attempt=n))
            for n in (1, 2, 3)
        ]
        first, second, third = (budget(message_of(each.signed.payload)).price for each in sealed)
        assert first < second == third
        assert [each.priority_fee and each.priority_fee.price for each in sealed] == [1_000, 2_000, 2_000]
