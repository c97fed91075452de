"""The guard lets one tip pass: the engine's own, to an account that the operator named, under the cap."""

from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.funds import Tip
from dexexec.settlement.guard_errors import Rule
from dexexec.settlement.solana.bids import Bids
from tests.support.swap_transactions import (
    AFTER,
    ATTACKER,
    BEFORE,
    MINT_OUT,
    OURS_OUT,
    RULES,
    WALLET,
    WRAPPED,
    Swap,
    address,
    pay,
    rule_of,
    token_account,
    wallet_account,
)

BUILDER = address("builder")
OTHER = address("other builder")
TIP = Tip(BUILDER, 40_000)
BIDS = Bids(accounts=(BUILDER, OTHER), lamports=40_000, most=50_000)


def tipped(*steps: Any, tip: Tip | None = TIP, bids: Bids = BIDS, missing: int = 40_000, **changes: Any) -> Swap:
    """The good swap with a tip, which the simulation shows as `missing` from the wallet."""
    wallet = AFTER[WALLET]
    assert wallet is not None
    swap = Swap().and_step(*(steps or (pay(WALLET, BUILDER, 40_000),)))
    after = {**AFTER, WALLET: replace(wallet, lamports=wallet.lamports - missing), BUILDER: wallet_account(10**9)}
    before = {**BEFORE, BUILDER: wallet_account(10**9 - missing)}
    return replace(swap, after=after, before=before, tip=tip, rules=replace(RULES, bids=bids), **changes)


def test_the_engines_own_tip_may_be_signed() -> None:
    assert rule_of(tipped()) is None


@pytest.mark.parametrize(
    ("swap", "rule"),
    [
        pytest.param(tipped(tip=None), Rule.SYSTEM, id="the venue pays it, and the engine added none"),
        pytest.param(tipped(pay(WALLET, ATTACKER, 40_000), tip=Tip(ATTACKER, 40_000)), Rule.TIP, id="to another"),
        pytest.param(tipped(pay(WALLET, ATTACKER, 40_000)), Rule.TIP, id="the transfer goes elsewhere"),
        pytest.param(tipped(pay(WALLET, BUILDER, 50_001), tip=Tip(BUILDER, 50_001)), Rule.TIP, id="over the cap"),
        pytest.param(tipped(pay(WALLET, BUILDER, 40_001)), Rule.TIP, id="another amount"),
        pytest.param(tipped(pay(WALLET, BUILDER, 0), tip=Tip(BUILDER, 0)), Rule.TIP, id="nothing"),
        pytest.param(tipped(*[pay(WALLET, BUILDER, 40_000)] * 2), Rule.TIP, id="twice"),
        pytest.param(
            tipped(pay(WALLET, BUILDER, 40_000), pay(WALLET, OTHER, 40_000)), Rule.SYSTEM, id="to a second account"
        ),
        pytest.param(tipped(bids=replace(BIDS, lamports=0)), Rule.TIP, id="tips are turned off"),
    ],
)
def test_no_other_transfer_of_lamports_passes_as_a_tip(swap: Swap, rule: Rule) -> None:
    assert rule_of(swap) is rule


@pytest.mark.parametrize("own", [WALLET, WRAPPED, OURS_OUT])
def test_a_tip_to_an_account_of_the_wallet_would_hide_another_loss(own: str) -> None:
    swap = tipped(pay(WALLET, own, 40_000), tip=Tip(own, 40_000), bids=replace(BIDS, accounts=(own,)))
    assert rule_of(swap) is Rule.TIP


def test_nor_may_its_account_become_one_of_the_wallet() -> None:
    swap = tipped()
    own = token_account(MINT_OUT, 0)
    assert rule_of(replace(swap, after={**swap.after, BUILDER: own})) is Rule.TIP


def test_the_tip_is_all_that_may_be_missing_beside_the_fee() -> None:
    assert rule_of(tipped(missing=40_001)) is Rule.LAMPORTS


def test_the_charge_of_a_proposal_is_fee_and_tip() -> None:
    with_tip = tipped().proposal()
    assert with_tip.charge == replace(with_tip, tip=None).charge + 40_000
