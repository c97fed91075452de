"""What the demo posts for each kind of order: accepted bodies, with prices on the right side of the current one."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID

import pytest

from dexexec.config.settings import Settings
from dexexec.demo.kinds import Kind, Prices, net_price, plan_kind
from dexexec.demo.order import SIZES, DemoOrder
from dexexec.domain.order import NewOrder
from dexexec.domain.terms import TimeInForce, TriggerWhen
from dexexec.intake.order_body import BodyReader

CURRENT = Decimal("150.123456789")
PRICES: Prices = dict.fromkeys(SIZES, CURRENT)
EXPIRES_AT = datetime.now(UTC) + timedelta(days=1)
"""Read when the module is imported, long before the last test of a whole run."""


def planned(kind: Kind, number: int = 20, *, dry_run: bool = False) -> list[DemoOrder]:
    return plan_kind(kind, number, map(str, count()), prices=PRICES, expires_at=EXPIRES_AT, dry_run=dry_run)


def accepted(order: DemoOrder) -> NewOrder:
    """The order as the service reads it; it raises for a body that the service refuses."""
    body = {"side": order.side, "amount": order.amount, **order.fields}
    return BodyReader(Settings(_env_file=None)).read(json.dumps(body).encode(), UUID(int=1), "demo", None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("dry_run", [False, True])
def test_every_order_of_every_kind_is_accepted(kind: Kind, dry_run: bool) -> None:
    orders = planned(kind, dry_run=dry_run)
    assert len(orders) == 20
    assert all(accepted(order).dry_run is dry_run for order in orders)
    assert {order.side for order in orders} == ({"buy"} if kind is Kind.SNIPER else {"buy", "sell"})


def test_market_orders_have_no_further_fields() -> None:
    assert all(order.fields == {} for order in planned(Kind.MARKET))


def test_some_limits_are_reached_at_once_and_some_are_far_for_both_sides() -> None:
    reached = set()
    for order in planned(Kind.LIMIT):
        terms = accepted(order).terms
        assert terms is not None
        assert terms.limit_price is not None
        assert (terms.time_in_force, terms.rests) == (TimeInForce.GTT, True)
        # A buy gives the input mint at its limit or more, a sell takes it at its limit or less.
        is_reached = terms.limit_price <= CURRENT if order.side == "buy" else terms.limit_price >= CURRENT
        reached.add((order.side, is_reached))
    assert reached == {("buy", True), ("buy", False), ("sell", True), ("sell", False)}


def test_some_stops_are_reached_at_once_and_some_are_far_for_both_sides() -> None:
    reached = set()
    for order in planned(Kind.STOP):
        terms = accepted(order).terms
        assert terms is not None
        assert terms.trigger_price is not None
        below = terms.trigger_when is TriggerWhen.BELOW
        is_reached = terms.trigger_price >= CURRENT if below else terms.trigger_price <= CURRENT
        reached.add((order.side, terms.trigger_when, is_reached))
    assert len(reached) == 8


def test_the_net_price_of_a_quote_counts_network_fees_against_the_order() -> None:
    quote = {"price": "150", "amountOut": "1000", "net": "990"}
    assert net_price(quote, "buy") == Decimal("148.5")
    assert net_price(quote, "sell") == Decimal(150) * 1000 / 990


@pytest.mark.parametrize(
    "quote",
    [{}, {"price": "x", "amountOut": "1", "net": "1"}, {"price": None, "amountOut": "1", "net": "1"},
     {"price": "1", "amountOut": "1", "net": "0"}, {"price": "NaN", "amountOut": "1", "net": "1"}],
)  # fmt: skip
def test_a_quote_without_a_usable_price_has_none(quote: dict[str, object]) -> None:
    assert net_price(quote, "buy") is None


def test_snipers_wait_for_mints_of_their_own_and_some_for_conditions_that_no_pool_fulfils() -> None:
    orders = planned(Kind.SNIPER)
    assert len({order.fields["mint"] for order in orders}) == len(orders)
    conditions = [order.fields["conditions"] for order in orders]
    assert {} in conditions
    assert {"minLiquidity": "1000000000"} in conditions


def test_recurring_orders_have_slices_at_any_price_at_a_good_one_and_at_one_that_does_not_come() -> None:
    worst: set[tuple[str, bool | None]] = set()
    for order in planned(Kind.RECURRING):
        name = "minPrice" if order.side == "buy" else "maxPrice"
        if name not in order.fields:
            worst.add((order.side, None))
            continue
        price = Decimal(str(order.fields[name]))
        worst.add((order.side, price <= CURRENT if order.side == "buy" else price >= CURRENT))
    assert worst == {(side, fits) for side in ("buy", "sell") for fits in (None, True, False)}
