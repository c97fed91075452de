"""A sniper's body: a mint that need not be known, exact conditions, and an error for everything that does not fit."""

import json
from decimal import Decimal
from typing import Any

import pytest

from dexexec.domain.order import FOREVER_MS, NewOrder, Side
from dexexec.domain.quote import Mode
from dexexec.domain.sniper_conditions import SniperConditions
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import FieldProblem, InvalidOrderError
from dexexec.intake.order_body import BodyReader
from tests.support.launched import MINT
from tests.unit.intake.test_order_body import ID, SETTINGS, AtAFixedTime

READER = BodyReader(SETTINGS, AtAFixedTime(), venues=["raydium", "meteora"])
SNIPER = {"type": "sniper", "mint": MINT, "amount": "0.5"}
ALL = {
    "minLiquidity": "100.5",
    "maxPriceImpactBps": 300,
    "maxPrice": 0.00005,
    "maxAgeMs": 60_000,
    "mintAuthorityRevoked": True,
    "freezeAuthorityRevoked": False,
    "maxTransferFeeBps": 0,
    "venues": ["meteora"],
}
PRICE = 'a positive decimal string such as "0.01"'
SOME = 'a number of tokens such as "0.01"'
MINT_EXPECTED = "the address of a mint: 32 bytes in base58"
ALLOWED = "a list of venues, each once, of: meteora, raydium"


def read(fields: dict[str, Any], key: str | None = None) -> NewOrder:
    return READER.read(json.dumps(fields).encode(), ID, "10.0.0.1", key)


def problems(fields: dict[str, Any]) -> list[FieldProblem]:
    with pytest.raises(InvalidOrderError) as caught:
        read(fields)
    return list(caught.value.fields)


def test_a_mint_and_an_amount_are_enough() -> None:
    order = read(SNIPER)
    assert (order.type, order.side, order.mode) == (OrderType.SNIPER, Side.BUY, Mode.EXACT_IN)
    assert (order.input_mint, order.output_mint, order.amount_base) == (WSOL, MINT, 500_000_000)
    assert order.terms == Terms(conditions=SniperConditions())
    assert (order.rests, order.deadline_ms, order.bound, order.bound_open) == (True, FOREVER_MS, None, True)
    assert order.max_price_impact_bps == SETTINGS.max_price_impact_bps


def test_all_conditions_are_read_exactly_and_stored_as_they_are_read_back() -> None:
    order = read(SNIPER | {"conditions": ALL, "inputMint": USDC, "side": "buy", "mode": "exactIn"})
    assert order.terms == Terms(
        conditions=SniperConditions(
            min_liquidity=Decimal("100.5"),
            max_price_impact_bps=300,
            max_price=Decimal("0.00005"),
            max_age_ms=60_000,
            mint_authority_revoked=True,
            max_transfer_fee_bps=0,
            venues=("meteora",),
        )
    )
    assert Terms.of(json.loads(json.dumps(order.terms.detail()))) == order.terms
    assert order.max_price_impact_bps == 300
    assert (order.input_mint, order.amount_base) == (USDC, 500_000)


def test_an_expiry_is_its_deadline() -> None:
    order = read(SNIPER | {"expiresAt": "2026-01-01T00:01:00Z"})
    assert order.deadline_ms == 60_000


@pytest.mark.parametrize(
    ("changes", "field", "problem", "expected"),
    [
        ({"mint": None}, "mint", "is null", MINT_EXPECTED),
        ({"mint": 5}, "mint", "is a number", MINT_EXPECTED),
        ({"mint": "1" * 31}, "mint", "is not an address", MINT_EXPECTED),
        ({"mint": "0" * 40}, "mint", "is not an address", MINT_EXPECTED),
        ({"mint": "1" * 10**5}, "mint", "is not an address", MINT_EXPECTED),
        ({"mint": WSOL}, "mint", "is the same as inputMint", "two different mints"),
        ({"side": "sell"}, "side", "is not a known side", '"buy": it spends inputMint'),
        ({"mode": "exactOut"}, "mode", "is not a known mode", '"exactIn"'),
        ({"outputMint": USDC}, "outputMint", "does not fit a sniper", "mint: the token to buy"),
        ({"deadlineSeconds": 30}, "deadlineSeconds", "does not fit a sniper", "expiresAt"),
        ({"limitPrice": "1"}, "limitPrice", "does not fit a sniper", "conditions.maxPrice"),
        ({"minOut": "1"}, "minOut", "does not fit a sniper", "conditions.maxPrice"),
        ({"maxPriceImpactBps": 5}, "maxPriceImpactBps", "does not fit a sniper", "conditions.maxPriceImpactBps"),
        (
            {"bracket": {}},
            "bracket",
            "does not fit a sniper",
            "orders of their own after the fill: what is bought is not known before",
        ),
        ({"amount": "all"}, "amount", "is a share of the balance, which does not fit the type sniper", SOME),
        ({"trailBps": 5}, "trailBps", "does not fit a sniper", "conditions.maxPrice"),
        ({"conditions": []}, "conditions", "is an array", 'an object such as {"minLiquidity": "100"}'),
        ({"conditions": None}, "conditions", "is null", 'an object such as {"minLiquidity": "100"}'),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_what_would_be_right(
    changes: dict[str, Any], field: str, problem: str, expected: str
) -> None:
    assert FieldProblem(field, problem, expected) in problems(SNIPER | changes)


@pytest.mark.parametrize(
    ("conditions", "name", "problem", "expected"),
    [
        ({"minLiquidty": "1"}, "minLiquidty", "is not a condition of a sniper", "did you mean minLiquidity?"),
        ({"minLiquidity": "0"}, "minLiquidity", "is zero", PRICE),
        ({"minLiquidity": True}, "minLiquidity", "is a boolean", PRICE),
        ({"maxPrice": "-1"}, "maxPrice", "is negative", PRICE),
        ({"maxPriceImpactBps": 10_001}, "maxPriceImpactBps", "is out of range", "an integer from 0 to 10000"),
        ({"maxAgeMs": 0}, "maxAgeMs", "is out of range", "an integer from 1 to 86400000"),
        ({"maxAgeMs": 1.5}, "maxAgeMs", "is not an integer", "an integer from 1 to 86400000"),
        ({"mintAuthorityRevoked": "yes"}, "mintAuthorityRevoked", "is a string", "true or false"),
        ({"freezeAuthorityRevoked": None}, "freezeAuthorityRevoked", "is null", "true or false"),
        ({"maxTransferFeeBps": -1}, "maxTransferFeeBps", "is out of range", "an integer from 0 to 10000"),
        ({"venues": []}, "venues", "is empty", ALLOWED),
        ({"venues": "raydium"}, "venues", "is a string", ALLOWED),
        ({"venues": ["raydium", 1]}, "venues", "has an entry that is not the name of a venue", ALLOWED),
        ({"venues": ["raydum"]}, "venues", "names raydum, which is not enabled", ALLOWED),
        ({"venues": ["raydium", "raydium"]}, "venues", "names a venue twice", ALLOWED),
        ({"venues": ["raydium"] * 33}, "venues", "has 33 entries", ALLOWED),
    ],
)
def test_a_wrong_condition_is_named_with_what_would_be_right(
    conditions: dict[str, Any], name: str, problem: str, expected: str
) -> None:
    [found] = problems(SNIPER | {"conditions": conditions})
    assert (found.field, found.problem) == (f"conditions.{name}", problem)
    assert found.expected.startswith(expected)


def test_all_bad_fields_are_in_one_answer() -> None:
    bad = SNIPER | {"mint": "x", "amount": "0", "conditions": {"maxAgeMs": 0, "venues": []}}
    assert {one.field for one in problems(bad)} == {"mint", "amount", "conditions.maxAgeMs", "conditions.venues"}


def test_a_condition_that_is_given_twice_is_refused() -> None:
    body = f'{{"type": "sniper", "mint": "{MINT}", "amount": "1", "conditions": {{"maxAgeMs": 5, "maxAgeMs": 6}}}}'
    with pytest.raises(InvalidOrderError) as caught:
        READER.read(body.encode(), ID, "c", None)
    assert [(one.field, one.problem) for one in caught.value.fields] == [
        ("conditions.maxAgeMs", "is given more than once")
    ]


def test_a_slippage_does_not_fit_beside_a_price_and_fits_without_one() -> None:
    [found] = problems(SNIPER | {"slippageBps": 50, "conditions": {"maxPrice": "1"}})
    assert (found.field, found.problem) == ("slippageBps", "does not fit beside conditions.maxPrice")
    assert read(SNIPER | {"slippageBps": 70}).slippage_bps == 70


@pytest.mark.parametrize("name", ["mint", "conditions"])
def test_other_orders_refuse_a_snipers_fields(name: str) -> None:
    given: dict[str, Any] = {"side": "buy", "amount": "1", name: SNIPER.get(name, {})}
    assert problems(given) == [FieldProblem(name, "does not fit the type", 'only with "type": "sniper"')]


def test_the_notation_of_conditions_does_not_make_another_request() -> None:
    first = read(SNIPER | {"conditions": {"maxPrice": "0.5", "maxAgeMs": 7}}, key="k")
    again = read(SNIPER | {"conditions": {"maxAgeMs": 7, "maxPrice": "0.50"}}, key="k")
    other = read(SNIPER | {"conditions": {"maxAgeMs": 8, "maxPrice": 0.5}}, key="k")
    assert first.body_hash == again.body_hash != other.body_hash


def test_without_known_venues_any_name_is_accepted() -> None:
    reader = BodyReader(SETTINGS, AtAFixedTime())
    body = json.dumps(SNIPER | {"conditions": {"venues": ["desk"]}}).encode()
    terms = reader.read(body, ID, "c", None).terms
    assert terms is not None
    assert terms.conditions == SniperConditions(venues=("desk",))
