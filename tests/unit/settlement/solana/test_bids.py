"""What is offered so that a transaction lands."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.funds import PriorityFee
from dexexec.settlement.solana.bids import LEAST_RISE, NO_BIDS, Bids, tip_step, with_tip
from dexexec.settlement.solana.message import Program, memo

ORDER = UUID(int=7)
BIDS = Bids(accounts=("a", "b", "c"), lamports=10_000, most=50_000)


def attempt(n: int) -> AttemptId:
    return AttemptId(ORDER, n)


def test_attempts_are_spread_over_the_accounts_and_each_keeps_its_own() -> None:
    tips = [BIDS.tip_for(AttemptId(UUID(int=number), 1)) for number in range(300)]
    assert Counter(tip.account for tip in tips if tip) == {"a": 100, "b": 100, "c": 100}
    assert BIDS.tip_for(attempt(2)) == BIDS.tip_for(attempt(2))


@pytest.mark.parametrize(
    ("bids", "fee", "lamports"),
    [
        (BIDS, 5_000, 10_000),
        (replace(BIDS, share_bps=5_000), 5_000, 10_000),
        (replace(BIDS, share_bps=5_000), 30_000, 15_000),
        (replace(BIDS, share_bps=5_000), 10**9, 50_000),
        (replace(BIDS, lamports=0, share_bps=5_000), 5_001, 2_500),
        (replace(BIDS, lamports=0, share_bps=1), 5_000, 1),
        (replace(BIDS, lamports=0), 5_000, 0),
        (replace(BIDS, accounts=()), 5_000, 0),
        (replace(BIDS, most=0), 5_000, 0),
    ],
)
def test_a_tip_is_the_fixed_amount_or_the_share_of_the_fee_and_never_over_the_cap(
    bids: Bids, fee: int, lamports: int
) -> None:
    assert bids.amount(fee) == lamports
    assert (bids.tip_for(attempt(1)) is not None) is bool(lamports)


def test_the_price_rises_with_each_attempt_of_an_order_up_to_the_cap() -> None:
    bids = Bids(rise_bps=5_000)
    offer = PriorityFee(10_000, 30_000, market=9_000)
    assert [bids.price(offer, attempt(n)).price for n in range(1, 6)] == [10_000, 15_000, 22_500, 30_000, 30_000]
    assert bids.price(offer, attempt(3)) == replace(offer, price=22_500), "the rest stays"
    assert NO_BIDS.price(offer, attempt(3)) == offer
    assert bids.price(PriorityFee(1, 10**6), attempt(100)).price == 10**6


def test_it_rises_from_nothing_too_and_not_where_nothing_may_be_paid() -> None:
    bids = Bids(rise_bps=5_000)
    assert [bids.price(PriorityFee(0, 10**6), attempt(n)).price for n in (1, 2, 3)] == [0, LEAST_RISE, 2 * LEAST_RISE]
    assert bids.price(PriorityFee(0, 0), attempt(9)).price == 0


def test_the_step_is_a_transfer_of_the_wallet_whose_amount_can_be_replaced() -> None:
    tip = BIDS.tip_for(attempt(1))
    assert tip is not None
    step = tip_step("wallet", tip)
    assert (step.program, step.data) == (Program.SYSTEM, b"\x02\0\0\0" + (10_000).to_bytes(8, "little"))
    assert [(meta.address, meta.signer, meta.writable) for meta in step.accounts] == [
        ("wallet", True, True),
        (tip.account, False, True),
    ]
    more = replace(tip, lamports=20_000)
    note = memo("text")
    assert with_tip((note, step), "wallet", tip, more) == (note, tip_step("wallet", more))
