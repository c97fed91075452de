"""What clients read of a fill, also where little of its order is known."""

from dataclasses import replace
from decimal import Decimal

from dexexec.domain.bound import Bound
from dexexec.domain.order import Order
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.terms import Terms
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


def test_a_share_of_the_balance_is_held_against_the_bound_for_the_amount_of_its_own_attempt() -> None:
    # The record has the bound of a later round, in which there was half as much to spend; the first quote was for
    # twice as much, at 152 dollars.
    order = replace(
        sold(Bound(min_out=755_000, max_in=5_000_000)),
        terms=Terms(share_bps=10_000),
        first_quote=(20_000_000, 3_040_000),
    )
    quoted = {"amountIn": "10000000", "amountOut": "1515000", "minOut": "1510000", "maxIn": "10000000"}
    assert PRESENTER.within_bounds(order, FILL, quoted)
    assert not PRESENTER.within_bounds(order, FILL, {**quoted, "minOut": "1510001"})
    reported = PRESENTER.fill(order, FILL, quoted)
    assert (reported["minOut"], reported["maxIn"]) == ("1510000", "10000000")
    assert (reported["quotedIn"], reported["quotedOut"]) == ("10000000", "1520000")
    assert (reported["slippageBps"], reported["venueSlippageBps"]) == ("65.79", "33.01")
