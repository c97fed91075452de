"""The schema of an order accepts what the reader accepts, and nothing else; but for what no schema can express."""

import json
from collections.abc import Mapping

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.config.settings import Settings
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import FieldProblem, InvalidOrderError
from dexexec.intake.order_body import FIELDS, BodyReader
from dexexec.intake.order_schema import order_schemas
from tests.support.beyond_schemas import is_beyond_schemas
from tests.unit.intake.test_order_body import ID

KINDS = {name: jsonschema_rs.Draft202012Validator(schema) for name, schema in order_schemas().items()}
READER = BodyReader(Settings(_env_file=None))
MINT = "7s1Pa6RQEp8dxzM324cM7SosFMQd6LcQyzsEzTEoTrUZ"
LATER = "2035-01-31T12:00:00Z"

VALUES: Mapping[str, tuple[object, ...]] = {
    "side": ("buy", "sell", "hold", None),
    "amount": (
        "1",
        0.5,
        "all",
        "50%",
        "100%",
        "100.00%",
        "0%",
        "101%",
        "0",
        "-1",
        "01",
        "1e3",
        "",
        0,
        -1,
        None,
        True,
        ["1"],
    ),
    "type": ("market", "limit", "recurring", "sniper", "stop", 1),
    "mode": ("exactIn", "exactOut", "exact"),
    "inputMint": (WSOL, USDC, "SOL", 1),
    "outputMint": (USDC, WSOL, ""),
    "slippageBps": (0, 50, 5000, 5001, -1, "50", 0.5),
    "deadlineSeconds": (1, 86400, 0, 86401, None),
    "minOut": ("1", 2, "0", "x"),
    "maxIn": ("1", {}, "1.5"),
    "limitPrice": ("150", 150.5, "0.0", None),
    "maxPriceImpactBps": (0, 10000, 10001),
    "timeInForce": ("GTC", "GTT", "IOC", "FOK", "gtc"),
    "expiresAt": (LATER, "2035-01-31T12:00Z", "2035-01-31", "never", 1),
    "triggerPrice": ("120", "0", 3),
    "triggerWhen": ("above", "below", "beside"),
    "trailBps": (1, 9999, 0, 10000),
    "bracket": (
        {"stop": {"price": "1"}},
        {"takeProfit": {"bps": 5}, "stop": {"bps": 5}},
        {},
        {"stop": {"price": "1", "bps": 5}},
        {"takeProfit": {"price": "1", "limitPrice": "1"}},
        {"stop": {"price": "1", "limitPrice": "0.5"}},
        {"stop": {"bps": 5, "limitPrice": "0.5"}},
        {"stop": {"bps": 10_000}},
        {"stop": {}},
        {"exit": {"price": "1"}},
        "none",
    ),
    "slices": (2, 1000, 1, 1001),
    "every": ("PT5M", "P1D", "P1DT2H3M4.5S", "P2W", "PT", "P", "P1Y", "P1W1D", "5m", "PT0S"),
    "startAt": (LATER, "soon"),
    "missed": ("skip", "catchUp", "never"),
    "minPrice": ("140", "0"),
    "maxPrice": ("160", 160, "-1"),
    "mint": (MINT, "x", None),
    "conditions": (
        {},
        {"minLiquidity": "20", "maxAgeMs": 60000, "mintAuthorityRevoked": True},
        {"maxPrice": "0.5"},
        {"maxAgeMs": 0},
        {"venues": ["mock-raydium"]},
        {"venues": []},
        {"venues": ["a", "a"]},
        {"venues": ["A b"]},
        {"depth": 1},
        [],
    ),
    "closeAccount": (True, False, "true"),
    "ocoGroup": ("exit-7", "", "a b"),
    "tag": ("strategy-1", "x" * 65, "ü"),
    "dryRun": (True, False, 1),
    "wallet": ("default", "desk-2", "", "x" * 65, "a desk", 7),
    "payer": (MINT, "x", "1" * 44, 1),
    "slipage": (1,),
}
TYPICAL: Mapping[str, Mapping[str, object]] = {
    "MarketOrder": {"side": "buy", "amount": "1"},
    "StopOrder": {"side": "buy", "amount": "1", "triggerPrice": "120", "triggerWhen": "below"},
    "LimitOrder": {"type": "limit", "side": "buy", "amount": "1", "limitPrice": "151.25"},
    "RecurringOrder": {"type": "recurring", "side": "buy", "amount": "12", "slices": 12, "every": "PT5M"},
    "SniperOrder": {"type": "sniper", "mint": MINT, "amount": "0.5"},
}


def kinds_of(body: Mapping[str, object]) -> list[str]:
    return [name for name, kind in KINDS.items() if kind.is_valid(body)]


def problems_of(body: Mapping[str, object]) -> list[FieldProblem]:
    try:
        READER.read(json.dumps(body).encode(), ID, "", None)
    except InvalidOrderError as error:
        return list(error.fields)
    return []


def check(body: Mapping[str, object]) -> None:
    kinds, problems = kinds_of(body), problems_of(body)
    if kinds:
        assert len(kinds) == 1, (body, kinds)
        assert all(is_beyond_schemas(problem) for problem in problems), (body, kinds, problems)
    else:
        assert problems, body


def test_there_are_values_for_every_field() -> None:
    assert set(VALUES) == {*FIELDS, "slipage"}


@pytest.mark.parametrize("kind", TYPICAL)
def test_a_typical_order_is_of_its_kind_only(kind: str) -> None:
    assert kinds_of(TYPICAL[kind]) == [kind]
    assert problems_of(TYPICAL[kind]) == []


@pytest.mark.parametrize("kind", TYPICAL)
@pytest.mark.parametrize("field", VALUES)
def test_one_more_or_another_field_is_judged_alike_by_schema_and_reader(kind: str, field: str) -> None:
    for value in VALUES[field]:
        check({**TYPICAL[kind], field: value})
    check({name: value for name, value in TYPICAL[kind].items() if name != field})


@given(
    st.sampled_from(sorted(TYPICAL)),
    st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 30), min_size=2, max_size=4),
)
@settings(max_examples=1_500, deadline=None, derandomize=True)
def test_several_fields_are_judged_alike_by_schema_and_reader(kind: str, choices: dict[str, int]) -> None:
    others = {name: VALUES[name][index % len(VALUES[name])] for name, index in choices.items()}
    check({**TYPICAL[kind], **others})
