"""Policies as JSON: read strictly, with every invalid limit named, and written so that they are read again."""

import json
from typing import Any

import pytest

from dexexec.domain.order import U64_MAX
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_json import NAMES, PolicyFormatError, policy_json, read_policy
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL

FULL = Policy(
    requests_per_second=2.5,
    open_orders=10,
    sockets=0,
    max_per_order={WSOL: 1_000_000_000, USDC: U64_MAX},
    max_per_day={WSOL: 0},
    mints=frozenset({WSOL, USDC}),
    venues=frozenset({"raydium"}),
    kinds=frozenset({OrderType.MARKET, OrderType.LIMIT}),
    max_slippage_bps=30,
    max_price_impact_bps=0,
    wallets=frozenset({"default", "desk-2"}),
)


def test_a_policy_is_read_as_it_was_written() -> None:
    assert read_policy(json.loads(json.dumps(policy_json(FULL)))) == FULL
    assert set(policy_json(FULL)) == set(NAMES)
    assert (policy_json(NO_LIMITS), read_policy({})) == ({}, NO_LIMITS)


def test_an_empty_list_allows_nothing_and_no_list_allows_all() -> None:
    assert read_policy({"venues": []}).venues == frozenset()
    assert read_policy({}).venues is None
    assert policy_json(Policy(kinds=frozenset())) == {"kinds": []}


def test_an_amount_may_be_a_number_of_json() -> None:
    assert read_policy({"maxPerDay": {WSOL: 10**18}}).max_per_day == {WSOL: 10**18}


NO_RATES: list[Any] = [0, -1, True, "5", None, float("nan"), float("inf"), 10**9]
NO_COUNTS: list[Any] = [-1, 1.5, True, "5", None, 10**9]
INVALID: dict[str, list[Any]] = {
    "requestsPerSecond": NO_RATES,
    "openOrders": NO_COUNTS,
    "sockets": NO_COUNTS,
    "maxSlippageBps": NO_COUNTS,
    "maxPriceImpactBps": NO_COUNTS,
    "maxPerOrder": [5, None, [], {"SOL": "1"}],
    "mints": [WSOL, None, ["SOL"], [1], [WSOL] * 1_001],
    "venues": ["raydium", [""], ["a\n"], [None]],
    "kinds": ["market", ["stop"], ["MARKET"], {}],
}
NO_AMOUNTS: list[Any] = ["-1", "1.5", "1e9", "", " 1", "٣", str(U64_MAX + 1), "9" * 5_000, True, 1.5, None, -1]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_an_invalid_limit_is_named_with_what_would_be_right(name: str, value: Any) -> None:
    with pytest.raises(PolicyFormatError) as caught:
        read_policy({name: value})
    [problem] = {problem.name.partition(".")[0] for problem in caught.value.problems}
    assert problem == name
    assert all(each.expected for each in caught.value.problems)


@pytest.mark.parametrize(
    "amount", ["-1", "1.5", "1e9", "", " 1", "٣", str(U64_MAX + 1), "9" * 5_000, True, 1.5, None, -1]
)
def test_an_amount_is_whole_base_units(amount: Any) -> None:
    with pytest.raises(PolicyFormatError) as caught:
        read_policy({"maxPerDay": {WSOL: amount}})
    assert [problem.name for problem in caught.value.problems] == [f"maxPerDay.{WSOL}"]


@pytest.mark.parametrize("name", ["maxPerorder", "max_per_day", "kind"])
def test_a_misspelled_limit_is_an_error_that_names_the_nearest(name: str) -> None:
    with pytest.raises(PolicyFormatError, match="did you mean"):
        read_policy({name: {}})


@pytest.mark.parametrize("given", [[], "x", None, 5])
def test_a_policy_is_an_object(given: Any) -> None:
    with pytest.raises(PolicyFormatError, match="is not an object"):
        read_policy(given)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(PolicyFormatError) as caught:
        read_policy({"nothing": 1, "sockets": -1, "kinds": ["a", "b"]})
    assert [problem.name for problem in caught.value.problems] == ["nothing", "sockets", "kinds", "kinds"]
