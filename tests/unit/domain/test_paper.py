"""Sums of the paper ledger: prices on the scale of the pair, and what the wallet would hold."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

from dexexec.domain.order import Side
from dexexec.domain.paper import PaperLine, net_changes
from dexexec.domain.token import USDC, WSOL

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
BOUGHT = PaperLine(
    tag="a",
    side=Side.BUY,
    input_mint=WSOL,
    output_mint=USDC,
    simulated=2,
    failed=1,
    expired=0,
    cancelled=0,
    amount_in=2_000,
    amount_out=300,
    network_fee=10_000,
    venue_fee_in=5,
    venue_fee_out=0,
    first=AT,
    last=AT,
)
SOLD = replace(BOUGHT, side=Side.SELL, amount_in=310, amount_out=2_000)


def test_the_average_price_is_output_per_input_of_the_pair_for_both_sides() -> None:
    assert BOUGHT.average_price == Fraction(300, 2_000)
    assert SOLD.average_price == Fraction(310, 2_000)
    assert replace(BOUGHT, simulated=0, amount_in=0, amount_out=0).average_price is None


def test_the_amounts_count_what_the_side_spends_and_receives() -> None:
    assert (BOUGHT.spent, BOUGHT.received) == (WSOL, USDC)
    assert (SOLD.spent, SOLD.received) == (USDC, WSOL)


def test_a_purchase_and_a_sale_add_up_to_the_difference_of_their_prices() -> None:
    assert net_changes([BOUGHT, SOLD]) == {WSOL: 0, USDC: -10}
    assert net_changes([]) == {}
