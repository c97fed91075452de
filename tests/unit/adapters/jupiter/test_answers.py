"""Answers of the API as values: everything is checked, and no content raises another error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer, Unsupported, VenueError
from dexexec_adapters.jupiter.answers import read_instructions, read_quote
from tests.support.jupiter_routes import POOL, QUOTED, REQUEST, as_json, instructions_answer, quote_answer, route
from tests.support.swap_transactions import address

HOP = address("mint on the way")


def hop(**info: Any) -> dict[str, Any]:
    [step] = quote_answer()["routePlan"]
    return {**step, "swapInfo": {**step["swapInfo"], **info}}


def test_a_quote_has_its_amount_slot_fee_impact_and_pools() -> None:
    answer = quote_answer()
    found = read_quote(answer, REQUEST)
    assert (found.amount_out, found.slot) == (QUOTED, 324_307_186)
    assert (found.fee, found.fee_mint, found.impact_ppm) == (5, USDC, 100)
    assert (found.pools, found.hops) == ((POOL,), frozenset())
    assert found.answer is answer


def test_a_route_of_several_hops_names_the_tokens_on_the_way() -> None:
    other = address("second pool")
    plan = [hop(outputMint=HOP, feeMint=WSOL, feeAmount="7"), hop(ammKey=other, inputMint=HOP)]
    found = read_quote(quote_answer(routePlan=plan), REQUEST)
    assert found.pools == (POOL, other)
    assert found.hops == {HOP}
    assert (found.fee, found.fee_mint) == (5, USDC)
    only_in = read_quote(quote_answer(routePlan=[hop(feeMint=WSOL, feeAmount="7")]), REQUEST)
    assert (only_in.fee, only_in.fee_mint) == (7, WSOL)
    without = {name: value for name, value in hop()["swapInfo"].items() if not name.startswith("fee")}
    assert read_quote(quote_answer(routePlan=[{"swapInfo": without}]), REQUEST).fee == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"inputMint": USDC},
        {"outputMint": HOP},
        {"inAmount": "1000001"},
        {"inAmount": 1_000_000},
        {"swapMode": "ExactOut"},
        {"slippageBps": 51},
        {"slippageBps": 50.0},
        {"slippageBps": "50"},
        {"platformFee": {"amount": "1", "feeBps": 1}},
        {"platformFee": []},
        {"contextSlot": None},
        {"contextSlot": True},
        {"contextSlot": 0},
        {"contextSlot": 2**64},
        {"contextSlot": "1"},
        {"outAmount": None},
        {"outAmount": 125_630},
        {"outAmount": "-1"},
        {"outAmount": "1e9"},
        {"outAmount": "²"},
        {"outAmount": str(2**64)},
        {"outAmount": "9" * 400},
        {"routePlan": None},
        {"routePlan": []},
        {"routePlan": [1]},
        {"routePlan": [{"swapInfo": None}]},
        {"routePlan": [hop()] * 33},
        {"routePlan": [hop(ammKey="x")]},
        {"routePlan": [hop(ammKey=None)]},
        {"routePlan": [hop(inputMint=1)]},
        {"routePlan": [hop(feeAmount="-5")]},
        {"priceImpactPct": "much"},
        {"priceImpactPct": "NaN"},
        {"priceImpactPct": 0.1},
        {"priceImpactPct": "0" * 65},
    ],
    ids=lambda changes: "-".join(f"{name}={value}"[:40] for name, value in changes.items()),
)
def test_a_wrong_quote_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="Jupiter"):
        read_quote(quote_answer(**changes), REQUEST)


@pytest.mark.parametrize("name", ["inputMint", "outAmount", "slippageBps", "contextSlot", "routePlan", "swapMode"])
def test_a_quote_without_a_field_is_refused(name: str) -> None:
    answer = quote_answer()
    del answer[name]
    with pytest.raises(BadAnswer):
        read_quote(answer, REQUEST)


@pytest.mark.parametrize(
    ("text", "ppm"),
    [(None, 0), ("0", 0), ("-0.5", 0), ("0.25", 250_000), ("1e999999", 10**9), ("Infinity", 10**9), ("1e-99999999", 0)],
)
def test_a_price_impact_is_bounded(text: str | None, ppm: int) -> None:
    assert read_quote(quote_answer(priceImpactPct=text), REQUEST).impact_ppm == ppm


def test_instructions_have_the_swap_the_setup_and_the_tables() -> None:
    found = read_instructions(instructions_answer())
    assert found.swap == route()
    assert [step.data for step in found.setup] == [b"\1", b"\1"]
    assert found.tables == (address("table"),)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenLedgerInstruction": as_json(route())},
        {"cleanupInstruction": as_json(route())},
        {"tipInstruction": as_json(route())},
        {"otherInstructions": [as_json(route())]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_instructions_are_not_signed_for(changes: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="not supported"):
        read_instructions(instructions_answer(**changes))


def swapped(**changes: Any) -> dict[str, Any]:
    return instructions_answer(swapInstruction={**as_json(route()), **changes})


ACCOUNT = {"pubkey": POOL, "isSigner": False, "isWritable": True}


@pytest.mark.parametrize(
    "answer",
    [
        instructions_answer(swapInstruction=None),
        instructions_answer(swapInstruction=[]),
        instructions_answer(setupInstructions=None),
        instructions_answer(setupInstructions=[as_json(route())] * 17),
        instructions_answer(addressLookupTableAddresses=None),
        instructions_answer(addressLookupTableAddresses=["x"]),
        instructions_answer(addressLookupTableAddresses=[address("table")] * 17),
        swapped(programId="x"),
        swapped(programId=None),
        swapped(data=None),
        swapped(data="!"),
        swapped(data="A"),
        swapped(data="é"),
        swapped(data="A" * 2_468),
        swapped(accounts=None),
        swapped(accounts=[ACCOUNT] * 129),
        swapped(accounts=[None]),
        swapped(accounts=[{**ACCOUNT, "isSigner": 1}]),
        swapped(accounts=[{**ACCOUNT, "isWritable": "true"}]),
        swapped(accounts=[{**ACCOUNT, "pubkey": "x" * 10_000}]),
    ],
)
def test_wrong_instructions_are_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="Jupiter"):
        read_instructions(answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(quote_answer())), JSON)
def test_any_value_in_a_quote_is_read_or_refused(name: str, value: Any) -> None:
    try:
        read_quote(quote_answer(**{name: value}), REQUEST)
    except VenueError:
        pass


@given(st.sampled_from(sorted(instructions_answer())), JSON)
def test_any_value_in_instructions_is_read_or_refused(name: str, value: Any) -> None:
    try:
        read_instructions(instructions_answer(**{name: value}))
    except VenueError:
        pass
