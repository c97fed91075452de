"""What attempts cost is computed in exact integers, kept as JSON, and summed without losing what is not known."""

import pytest

from dexexec.domain.cost import AttemptCost, CostSum, MintSum
from dexexec.domain.network_cost import NetworkCost, split_fee
from dexexec.domain.quote import Fill, Mode, SwapRequest
from dexexec.domain.token import USDC, WSOL

SELL_SOL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)
WANT_USDC = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=150, mode=Mode.EXACT_OUT, slippage_bps=50)
NETWORK = NetworkCost(base_fee=5_000, priority_fee=700, rent_paid=2_039_280, rent_returned=9)
QUOTED = {"amountIn": "1000000000", "amountOut": "149", "fee": "2500000", "feeMint": WSOL}
HUGE = 2**64 - 1


def test_a_fee_is_split_into_the_base_fee_of_its_signatures_and_the_rest() -> None:
    assert split_fee(5_000, 1) == NetworkCost(base_fee=5_000)
    assert split_fee(12_345, 2) == NetworkCost(base_fee=10_000, priority_fee=2_345)
    assert split_fee(0, 1).fee == 0


def test_a_fill_is_compared_with_the_first_quote_and_with_the_quote_of_its_transaction() -> None:
    cost = AttemptCost.of_fill(Fill(10**9, 145, 5_700, 7, NETWORK), SELL_SOL, QUOTED, (10**9, 150))
    assert (cost.fee, cost.network) == (5_700, NETWORK)
    assert (cost.venue_fee, cost.venue_fee_mint) == (2_500_000, WSOL)
    assert (cost.slippage, cost.venue_slippage, cost.slippage_mint) == (5, 4, USDC)


def test_with_a_fixed_output_the_slippage_is_what_was_spent_more() -> None:
    quoted = {**QUOTED, "amountIn": "990"}
    cost = AttemptCost.of_fill(Fill(985, 150, 5_000, 7), WANT_USDC, quoted, (970, 150))
    assert (cost.slippage, cost.venue_slippage, cost.slippage_mint) == (15, -5, WSOL)


def test_without_a_first_quote_the_quote_of_the_transaction_takes_its_place() -> None:
    cost = AttemptCost.of_fill(Fill(10**9, 145, 5_000, 7), SELL_SOL, QUOTED, None)
    assert cost.slippage == cost.venue_slippage == 4


def test_without_any_quote_neither_slippage_nor_venue_fee_is_invented() -> None:
    cost = AttemptCost.of_fill(Fill(10**9, 145, 5_000, 7), SELL_SOL, {}, (10**9, 150))
    assert cost == AttemptCost(landed=True, fee=5_000)


@pytest.mark.parametrize(
    "cost",
    [
        AttemptCost.of_fill(Fill(HUGE, 0, HUGE, 7, NETWORK), SELL_SOL, QUOTED, (1, HUGE)),
        AttemptCost.of_fill(Fill(1, 1, 5_000, 7), SELL_SOL, {}, None),
        AttemptCost.of_failure(5_700, split_fee(5_700, 1)),
        AttemptCost.of_failure(5_700, None),
    ],
)
def test_what_is_stored_is_read_back_exactly(cost: AttemptCost) -> None:
    assert AttemptCost.of(cost.detail(), landed=cost.landed) == cost
    assert all(isinstance(value, str) for value in cost.detail().values())


def test_a_sum_has_failed_attempts_with_their_fees_and_what_came_back() -> None:
    total = CostSum()
    total.add(AttemptCost.of_failure(5_700, split_fee(5_700, 1)))
    total.add(AttemptCost.of_fill(Fill(10**9, 145, 5_700, 7, NETWORK), SELL_SOL, QUOTED, (10**9, 150)))
    detail = total.detail()
    assert (detail["swaps"], detail["failedAttempts"]) == (1, 1)
    assert (detail["fees"], detail["baseFees"], detail["priorityFees"]) == ("11400", "10000", "1400")
    assert (detail["failedFees"], detail["tips"]) == ("5700", "0")
    assert (detail["rentPaid"], detail["rentReturned"]) == ("2039280", "9")
    assert detail["lamports"] == str(11_400 + 2_039_280 - 9)
    assert detail["unknown"] == {"feeParts": 0, "rent": 0, "quotes": 0}
    assert detail["mints"] == [
        {"mint": USDC, "venueFees": "0", "slippage": "5", "venueSlippage": "4"},
        {"mint": WSOL, "venueFees": "2500000", "slippage": "0", "venueSlippage": "0"},
    ]


def test_a_better_price_lowers_the_slippage_of_a_sum() -> None:
    total = CostSum()
    for received in (145, 160):
        total.add(AttemptCost.of_fill(Fill(10**9, received, 5_000, 7), SELL_SOL, QUOTED, (10**9, 150)))
    assert total.mints[USDC] == MintSum(slippage=5 - 10, venue_slippage=4 - 11)


def test_a_sum_counts_what_is_not_recorded_instead_of_taking_it_for_nothing() -> None:
    total = CostSum()
    total.add(AttemptCost(landed=True, fee=5_000))
    total.add(AttemptCost.of_failure(6_000, None))
    detail = total.detail()
    assert detail["unknown"] == {"feeParts": 2, "rent": 1, "quotes": 1}
    assert (detail["fees"], detail["baseFees"], detail["failedFees"]) == ("11000", "0", "6000")


def test_sums_beyond_what_a_json_number_holds_stay_exact() -> None:
    total = CostSum()
    for _ in range(3):
        total.add(AttemptCost.of_failure(HUGE, None))
    assert total.detail()["fees"] == str(3 * HUGE)
