"""What clients read of a fill, also where little of its order is known."""

from decimal import Decimal

from dexexec.domain.bound import Bound
from dexexec.domain.order import Order
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.token import KNOWN, Tokens
from dexexec.execution.event_detail import Presenter
from tests.support.attempts import claimed_order

PRESENTER = Presenter(Tokens(KNOWN))
FILL = Fill(amount_in=10_000_000, amount_out=1_510_000, fee=5_000, slot=7)


def sold(bound: Bound | None = None) -> Order:
    return claimed_order(amount=Decimal("0.01"), amount_base=10_000_000, status=Status.SUBMITTED, bound=bound)


def test_a_fill_whose_quote_is_unknown_is_reported_without_it() -> None:
    """As of an attempt that came back from the chain."""
    reported = PRESENTER.fill(sold(), FILL, {})
    assert reported == {"price": "151", "amountIn": "10000000", "amountOut": "1510000", "networkFee": "5000", "slot": 7}
    assert PRESENTER.within_bounds(sold(), FILL, {})


def test_a_fill_whose_quote_is_not_known_is_held_against_the_orders_own_bound() -> None:
    order = sold(Bound(min_out=1_510_001, max_in=10_000_000))
    reported = PRESENTER.fill(order, FILL, {})
    assert (reported["minOut"], reported["maxIn"]) == ("1510001", "10000000")
    assert not PRESENTER.within_bounds(order, FILL, {})


def test_a_fill_is_held_against_both_bounds() -> None:
    quoted = {"amountIn": "10000000", "amountOut": "1520000", "minOut": "1510001", "maxIn": "10000000"}
    loose = sold(Bound(min_out=1, max_in=10_000_000))
    assert not PRESENTER.within_bounds(loose, FILL, quoted)
    assert PRESENTER.within_bounds(loose, FILL, {**quoted, "minOut": "1510000"})
    assert PRESENTER.fill(loose, FILL, quoted)["venueSlippageBps"] == PRESENTER.fill(loose, FILL, quoted)["slippageBps"]
