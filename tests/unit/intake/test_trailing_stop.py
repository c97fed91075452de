"""The field `trailBps`: a distance in bps, and no other trigger beside it."""

import json
from uuid import UUID

import pytest

from dexexec.config.settings import Settings
from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from dexexec.domain.wait_reason import wait_detail
from dexexec.errors import InvalidOrderError
from dexexec.intake.order_body import BodyReader
from dexexec.testing.clock import ManualClock

LATER = "2023-11-15T00:00:00Z"
"""Some hours after the time of the test's clock."""


def read(**fields: object) -> NewOrder:
    body = json.dumps({"side": "buy", "amount": "1", **fields}).encode()
    return BodyReader(Settings(), ManualClock()).read(body, UUID(int=1), "client", None)


def problems(**fields: object) -> dict[str, str]:
    with pytest.raises(InvalidOrderError) as raised:
        read(**fields)
    return {problem.field: f"{problem.problem}: {problem.expected}" for problem in raised.value.fields}


def test_a_trailing_stop_rests_until_it_is_cancelled() -> None:
    order = read(trailBps=150)
    assert (order.type, order.terms, order.deadline_ms) == (OrderType.MARKET, Terms(trail_bps=150), FOREVER_MS)
    assert order.rests
    assert Terms.of((order.terms or Terms()).detail()) == order.terms
    assert wait_detail(order)["detail"] == "it waits for a price 150 bps worse than the best one since it was accepted"


def test_a_trailing_stop_may_have_a_limit_and_an_expiry() -> None:
    order = read(type="limit", limitPrice="140", trailBps=1, expiresAt=LATER)
    assert order.terms is not None
    assert (order.terms.trail_bps, order.terms.time_in_force) == (1, TimeInForce.GTT)


@pytest.mark.parametrize("value", [0, -1, 10_000, 10**12, "150", 1.5, None, True, []])
def test_a_distance_is_an_integer_below_100_percent(value: object) -> None:
    assert problems(trailBps=value)["trailBps"].endswith("an integer from 1 to 9999")


@pytest.mark.parametrize(
    "other", [{"triggerPrice": "1", "triggerWhen": "above"}, {"triggerWhen": "below"}, {"triggerPrice": "1"}]
)
def test_a_trailing_stop_has_no_other_trigger(other: dict[str, object]) -> None:
    found = problems(trailBps=100, **other)
    assert found.keys() == other.keys()
    assert all("a trailing stop or a fixed trigger, not both" in found[name] for name in other)


@pytest.mark.parametrize("name", ["minOut", "limitPrice"])
def test_a_trailing_stop_at_the_market_has_no_bound(name: str) -> None:
    assert name in problems(trailBps=100, **{name: "100"})


def test_a_trailing_stop_has_no_deadline() -> None:
    assert problems(trailBps=100, deadlineSeconds=5) == {
        "deadlineSeconds": "does not fit an order that rests: expiresAt"
    }
