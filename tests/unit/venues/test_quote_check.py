"""What an adapter hands out as a quote: everything in it is looked at, once, before anything rests on it."""

from dataclasses import fields, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Quote
from dexexec.domain.token import Tokens
from dexexec.execution.event_detail import promise
from dexexec.venue import BadAnswer
from dexexec.venues.quote_check import checked
from tests.support.scripted import BUY_ONE_SOL, SELL_ONE_SOL, quote_of

GOOD = quote_of("v", SELL_ONE_SOL, 150_000_000)
NONSENSE: dict[str, dict[str, Any]] = {
    "a float": {"amount_out": 150.0},
    "a bool": {"amount_out": True},
    "negative": {"amount_out": -1},
    "beyond u64": {"amount_out": U64_MAX + 1},
    "nothing": {"amount_out": 0, "min_out": 0},
    "another venue": {"venue": "somebody"},
    "another request": {"request": replace(SELL_ONE_SOL, amount=7)},
    "no request": {"request": None},
    "spends more than asked": {"amount_in": SELL_ONE_SOL.amount + 1, "max_in": SELL_ONE_SOL.amount + 1},
    "may spend more than asked": {"max_in": SELL_ONE_SOL.amount + 1},
    "a bound below the slippage": {"min_out": 1},
    "a bound above the quote": {"min_out": 150_000_001},
    "expired": {"expires_at_ms": 1},
    "expires never": {"expires_at_ms": float("inf")},
    "no network fee": {"network_fee": None},
    "a negative network fee, which would win": {"network_fee": -(10**12)},
    "a network fee of a fortune": {"network_fee": 10**12},
    "a network fee of True": {"network_fee": True},
    "a negative fee": {"fee": -1},
    "a fee of text": {"fee": "1"},
    "a fee of another token": {"fee_mint": "\0"},
    "a fee mint that is none": {"fee_mint": None},
    "a negative impact": {"price_impact_ppm": -1},
    "an impact of nothing": {"price_impact_ppm": None},
    "a huge impact": {"price_impact_ppm": 10**30},
    "a negative slot": {"context_slot": -1},
    "a slot beyond JSON": {"context_slot": 2**64},
    "a route of text": {"route": "pool"},
    "a route of numbers": {"route": (1, 2)},
    "no route": {"route": None},
    "raw that is no mapping": {"raw": [1]},
}


@pytest.mark.parametrize("changes", NONSENSE.values(), ids=NONSENSE)
def test_promise_13_an_invalid_quote_is_refused(changes: dict[str, Any]) -> None:
    checked("v", SELL_ONE_SOL, GOOD, 0)
    with pytest.raises(BadAnswer):
        checked("v", SELL_ONE_SOL, replace(GOOD, **changes), 2)


@pytest.mark.parametrize("answer", [None, 1, "quote", {"amount_out": 1}, object()])
def test_an_invalid_quote_is_refused(answer: object) -> None:
    with pytest.raises(BadAnswer, match="not a quote"):
        checked("v", SELL_ONE_SOL, answer, 0)


def test_promise_13_an_exact_output_may_not_cost_more_than_its_slippage_allows() -> None:
    good = quote_of("v", BUY_ONE_SOL, 150_000_000)
    assert checked("v", BUY_ONE_SOL, good, 0) == good
    less = good.amount_out - 1
    spoilt: list[dict[str, Any]] = [
        {"max_in": good.max_in + 1},
        {"amount_out": less, "min_out": less},
        {"min_out": good.amount_out + 1},
    ]
    for changes in spoilt:
        with pytest.raises(BadAnswer):
            checked("v", BUY_ONE_SOL, replace(good, **changes), 0)


def test_names_of_pools_are_cleaned_and_cut() -> None:
    route = ("a\0b", "c\ud800", "d\ne", "far out " * 200, *("pool" for _ in range(100)))
    found = checked("v", SELL_ONE_SOL, replace(GOOD, route=route), 0).route
    assert found[:3] == ("a\ufffdb", "c\ufffd", "d e")
    assert (len(found), len(found[3])) == (16, 100)


class Changing(Quote):
    """Returns another amount at each access."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name == "min_out":
            object.__setattr__(self, "min_out", 0)
        return value


def test_a_field_is_read_once() -> None:
    changing = Changing(**{field.name: getattr(GOOD, field.name) for field in fields(Quote)})
    found = checked("v", SELL_ONE_SOL, changing, 0)
    assert type(found) is Quote
    assert found.min_out == GOOD.min_out


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())


@given(st.sampled_from([field.name for field in fields(Quote)]), ANYTHING)
def test_every_checked_quote_can_be_recorded(name: str, value: Any) -> None:
    try:
        found = checked("v", SELL_ONE_SOL, replace(GOOD, **{name: value}), 0)
    except BadAnswer:
        return
    told = orjson.dumps(promise(found, Tokens(()))).decode()
    assert "\\u0000" not in told
