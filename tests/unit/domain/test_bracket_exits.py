"""The exits of a bracket: their side, amount and prices, from the fill of the entry."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.bound import Bound
from dexexec.domain.bracket import Bracket, Exit, ExitRole
from dexexec.domain.bracket_exits import FilledEntry, exit_id, exits_of
from dexexec.domain.order import FOREVER_MS, U64_MAX, Side
from dexexec.domain.quote import Mode
from dexexec.domain.rate import rate_at
from dexexec.domain.terms import OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.domain.token import KNOWN

SOL, USDC = KNOWN
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
# A sell receives SOL for USDC, and its exits spend the SOL.
SELL = FilledEntry(
    id=ID,
    side=Side.SELL,
    input=SOL,
    output=USDC,
    amount_in=300_000_000,
    amount_out=1_987_654_321,
    slippage_bps=50,
    max_price_impact_bps=120,
    client="10.0.0.1",
    tag="mine",
    dry_run=False,
)
# A buy receives USDC for SOL.
BUY = replace(SELL, side=Side.BUY, amount_in=2_000_000_000, amount_out=300_000_000)
BOTH = Bracket(take_profit=Exit(price=Decimal("160")), stop=Exit(price=Decimal("140")))


def test_the_exits_spend_exactly_what_was_received_the_other_way_on_the_same_pair() -> None:
    profit, stop = exits_of(SELL, BOTH)
    for leg in (profit, stop):
        assert (leg.side, leg.mode, leg.amount_base) == (Side.BUY, Mode.EXACT_IN, 1_987_654_321)
        assert leg.amount == Decimal("1.987654321")
        assert (leg.swap.mint_in, leg.swap.mint_out) == (SOL.mint, USDC.mint)
        assert (leg.parent, leg.oco_group, leg.deadline_ms) == (ID, f"bracket:{ID}", FOREVER_MS)
        assert (leg.slippage_bps, leg.max_price_impact_bps, leg.client, leg.tag) == (50, 120, "10.0.0.1", "mine")
        assert leg.rests
    assert (profit.id, stop.id) == (exit_id(ID, ExitRole.TAKE_PROFIT), exit_id(ID, ExitRole.STOP))
    assert exits_of(SELL, BOTH) == [profit, stop], "armed twice they are the same orders"
    other = exits_of(replace(SELL, id=UUID(int=1)), BOTH)
    assert {profit.id, stop.id}.isdisjoint(leg.id for leg in other)


def test_the_exits_of_a_buy_sell_what_it_received() -> None:
    bracket = Bracket(take_profit=Exit(price=Decimal("140")), stop=Exit(price=Decimal("160")))
    profit, stop = exits_of(BUY, bracket)
    for leg in (profit, stop):
        assert (leg.side, leg.amount_base, leg.amount) == (Side.SELL, 300_000_000, Decimal("300"))
        assert (leg.swap.mint_in, leg.swap.mint_out) == (USDC.mint, SOL.mint)
    assert profit.bound == Bound(2_142_857_143, 300_000_000), "300 USDC at 140 or less"
    assert stop.terms == Terms(trigger_price=Decimal("160"), trigger_when=TriggerWhen.ABOVE)


def test_a_take_profit_is_a_limit_order_and_a_stop_a_market_order_without_a_bound() -> None:
    """The bound of the stop comes from the quote that it gets when it is triggered, not from the entry's price."""
    profit, stop = exits_of(SELL, BOTH)
    assert profit.type is OrderType.LIMIT
    assert profit.terms == Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal("160"))
    assert (profit.bound, profit.bound_open) == (Bound(318_024_692, 1_987_654_321), False)
    assert stop.type is OrderType.MARKET
    assert stop.terms == Terms(trigger_price=Decimal("140"), trigger_when=TriggerWhen.BELOW)
    assert (stop.bound, stop.bound_open) == (None, True)


def test_a_stop_with_a_limit_price_is_a_limit_order_when_it_is_triggered() -> None:
    [stop] = exits_of(SELL, Bracket(stop=Exit(price=Decimal("140"), limit_price=Decimal("139.5"))))
    assert stop.type is OrderType.LIMIT
    assert stop.terms == Terms(
        time_in_force=TimeInForce.GTC,
        limit_price=Decimal("139.5"),
        trigger_price=Decimal("140"),
        trigger_when=TriggerWhen.BELOW,
    )
    assert stop.bound == Bound(277_277_778, 1_987_654_321)


@pytest.mark.parametrize("bracket", [Bracket(take_profit=BOTH.take_profit), Bracket(stop=BOTH.stop)])
def test_a_bracket_may_have_one_exit(bracket: Bracket) -> None:
    [leg] = exits_of(SELL, bracket)
    assert leg.oco_group == f"bracket:{ID}"


def test_bps_are_of_what_the_entry_spent() -> None:
    """300 USDC bought 2 SOL: 5 % more are 315 USDC for them, 5 % less 285."""
    entry = replace(SELL, amount_out=2_000_000_000)
    profit, stop = exits_of(entry, Bracket(take_profit=Exit(bps=500), stop=Exit(bps=500)))
    assert profit.terms is not None
    assert stop.terms is not None
    assert (profit.terms.limit_price, stop.terms.trigger_price) == (Decimal("157.5"), Decimal("142.5"))
    assert profit.bound == Bound(315_000_000, 2_000_000_000)
    # 2 SOL bought 300 USDC: 5 % more are 2.1 SOL for them, 5 % less 1.9.
    profit, stop = exits_of(BUY, Bracket(take_profit=Exit(bps=500), stop=Exit(bps=500)))
    assert profit.terms is not None
    assert stop.terms is not None
    assert profit.terms.limit_price == Decimal("142.857142857142"), "rounded to the better price of the exit"
    assert stop.terms.trigger_price == Decimal("157.894736842105")
    assert profit.bound is not None
    assert profit.bound.min_out >= 2_100_000_000


@given(
    st.sampled_from(Side),
    st.integers(1, U64_MAX),
    st.integers(1, U64_MAX),
    st.integers(1, 1_000_000),
    st.integers(1, 9_999),
)
def test_a_take_profit_returns_at_least_its_bps_and_its_stop_is_worse(
    side: Side, spent: int, received: int, gain: int, loss: int
) -> None:
    entry = replace(SELL, side=side, amount_in=spent, amount_out=received)
    profit, stop = exits_of(entry, Bracket(take_profit=Exit(bps=gain), stop=Exit(bps=loss)))
    assert profit.terms is not None
    assert stop.terms is not None
    assert profit.terms.limit_price is not None
    assert stop.terms.trigger_price is not None
    decimals = {"input_decimals": SOL.decimals, "output_decimals": USDC.decimals}
    better = rate_at(profit.terms.limit_price, entry.exit_side, **decimals)
    worse = rate_at(stop.terms.trigger_price, entry.exit_side, **decimals)
    assert better >= Fraction(spent * (10_000 + gain), received * 10_000)
    assert better > worse
    assert profit.bound is not None
    assert profit.bound.min_out == min(-(-received * better // 1), U64_MAX)


def test_a_bracket_reads_back_as_it_is_stored_and_shown() -> None:
    bracket = Bracket(take_profit=Exit(bps=500), stop=Exit(price=Decimal("140"), limit_price=Decimal("0.000001")))
    detail = {"takeProfit": {"bps": 500}, "stop": {"price": "140", "limitPrice": "0.000001"}}
    assert bracket.detail() == detail
    assert Bracket.of(detail) == bracket
    terms = Terms(bracket=bracket)
    assert terms.detail() == {"bracket": detail}
    assert Terms.of(terms.detail()) == terms
    assert not terms.rests
