"""Orders that rest are explained: their terms, what they waited for and saw, their changes and children."""

from typing import Any

import pytest

from dexexec.api.explanation import explain
from dexexec.api.resting_text import child_text, terms_text, waiting_text
from dexexec.domain.token import KNOWN, WSOL, Tokens
from tests.unit.api.test_explanation import order, texts

TOKENS = Tokens(KNOWN)
UNIT = "USDC per SOL"
DEADLINE = "2026-11-29T16:39:49.462Z"
LIMIT = {"type": "limit", "timeInForce": "GTC", "limitPrice": "151.25"}
RESTS = {"waitsFor": "price", "detail": "it waits for a price of 151.25 or more"}


@pytest.mark.parametrize(
    ("posted", "text"),
    [
        ({"side": "buy"}, f"until {DEADLINE}"),
        ({"side": "buy", **LIMIT}, "at a price of 151.25 USDC per SOL or more, until it is cancelled"),
        ({"side": "sell", **LIMIT}, "at a price of 151.25 USDC per SOL or less, until it is cancelled"),
        (
            {"side": "buy", **LIMIT, "timeInForce": "GTT", "expiresAt": "2026-12-01T00:00:00.000Z"},
            "at a price of 151.25 USDC per SOL or more, until 2026-12-01T00:00:00.000Z",
        ),
        (
            {"side": "buy", **LIMIT, "timeInForce": "IOC"},
            f"at a price of 151.25 USDC per SOL or more, in one try (IOC), until {DEADLINE}",
        ),
        (
            {"side": "buy", "triggerPrice": "120", "triggerWhen": "below"},
            "once the price is 120 USDC per SOL or less, until it is cancelled",
        ),
        (
            {"side": "buy", **LIMIT, "triggerPrice": "180", "triggerWhen": "above"},
            "once the price is 180 USDC per SOL or more, at a price of 151.25 USDC per SOL or more,"
            " until it is cancelled",
        ),
        (
            {"side": "buy", "trailBps": 300},
            "once the price is 300 bps worse than the best one from now on, until it is cancelled",
        ),
        (
            {"side": "sell", "type": "recurring", "slices": 12, "every": "PT5M", "missed": "skip", "maxPrice": "160"},
            "in 12 slices, one every 5 minutes, at most 160 USDC per SOL",
        ),
        (
            {"side": "buy", "type": "recurring", "slices": 9, "every": "PT1H1M1.5S"},
            "in 9 slices, one every 1 hour 1 minute 1.5 seconds",
        ),
        (
            {"side": "buy", "type": "recurring", "slices": 2, "every": "P1D", "startAt": DEADLINE, "expiresAt": "then"},
            f"in 2 slices, one every 1 day from {DEADLINE}, until then",
        ),
        (
            {
                "side": "buy",
                "type": "sniper",
                "conditions": {"minLiquidity": "50", "mintAuthorityRevoked": True, "venues": ["a", "b"]},
            },
            "as soon as a pool with it is launched, if it fulfils minLiquidity 50, mintAuthorityRevoked, venues a or b,"
            " until it is cancelled",
        ),
        (
            {"side": "buy", "bracket": {"takeProfit": {"price": "180"}, "stop": {"bps": 500, "limitPrice": "118"}}},
            f"until {DEADLINE}, and its fill arms a take-profit at 180 USDC per SOL and a stop 500 bps from its price"
            " (limit 118)",
        ),
        (
            {"side": "buy", **LIMIT, "ocoGroup": "exit", "closeAccount": True, "dryRun": True},
            "at a price of 151.25 USDC per SOL or more, until it is cancelled, and a fill of another order of the group"
            ' "exit" cancels it, and its emptied token account is closed',
        ),
    ],
)
def test_the_terms_of_each_kind_are_described(posted: dict[str, Any], text: str) -> None:
    assert terms_text(posted, UNIT, DEADLINE) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (RESTS, "It rests: it waits for a price of 151.25 or more"),
        (
            {"triggered": {"price": "151.3"}, "detail": "the price is 151.3 for its size"},
            "Triggered: the price is 151.3 for its size",
        ),
        (
            {"reason": "slippage", "detail": "no venue is within the bound.", "quietMs": 2_000, "waitsFor": "price"},
            "Back to rest (slippage): no venue is within the bound; it is not triggered again for 2000 ms",
        ),
        (
            {**RESTS, "amended": {"amount": {"from": "1", "to": "2"}, "expiresAt": {"from": None, "to": "then"}}},
            "Changed by the client: amount from 1 to 2, expiresAt from none to then;"
            " it waits for a price of 151.25 or more",
        ),
        ({"reference": {}, "detail": "the prices do not agree"}, "Not triggered: the prices do not agree"),
        (
            {"reason": "condition", "condition": "maxAgeMs", "detail": "the pool P was launched, but maxAgeMs: 9"},
            "The pool P was launched, but maxAgeMs: 9",
        ),
        (
            {"amended": {"conditions": {"from": {}, "to": {"maxAgeMs": 9, "venues": ["a"]}}}, "detail": "it waits"},
            "Changed by the client: conditions from none to (maxAgeMs 9, venues a); it waits",
        ),
        ({"slice": 2, "childId": "c", "detail": "slice 2 of 3 is made"}, "Slice 2 of 3 is made"),
        ({"skipped": {"from": 2, "to": 3}, "detail": "slices 2 to 3 are left out"}, "Slices 2 to 3 are left out"),
        (
            {"slice": 1, "slicePrice": "150", "averagePrice": "151", "detail": "slice 1 of 3 is confirmed"},
            "Slice 1 of 3 is confirmed; it was swapped at 150, and the average price is 151",
        ),
        (
            {
                "slice": 1,
                "childStatus": "simulated",
                "slicePrice": "150",
                "averagePrice": "151",
                "detail": "slice 1 of 3 is simulated",
            },
            "Slice 1 of 3 is simulated; it was simulated at 150, and the average price is 151",
        ),
        (
            {"slice": 1, "sliceReason": "price-range", "detail": "slice 1 of 3 is expired"},
            "Slice 1 of 3 is expired; it was not filled (price-range)",
        ),
    ],
)  # fmt: skip
def test_what_it_waits_for_and_saw_is_told_with_each_event(event: dict[str, Any], text: str) -> None:
    assert waiting_text(event) == text


def test_a_limit_order_is_explained_from_its_rest_to_its_fill() -> None:
    events = order()["events"]
    triggered = {"triggered": {"price": "151.3"}, "detail": "the price is 151.3 for its size: the limit is reached"}
    changes = {"limitPrice": {"from": "152", "to": "151.25"}}
    amended = {"amended": changes, **RESTS}
    history = [
        {**events[0], **LIMIT, "limitPrice": "152", "minOut": "76000000", "side": "buy", "amount": "0.5"},
        {"seq": 2, "status": "waiting", "at": events[0]["at"], **RESTS},
        {"seq": 3, "status": "waiting", "at": "2026-11-29T16:34:49.500Z", **amended},
        {"seq": 4, "status": "waiting", "at": "2026-11-29T16:34:49.520Z", **triggered},
        *({**event, "seq": event["seq"] + 3} for event in events[1:]),
    ]
    explained: dict[str, Any] = explain(order(events=history, **LIMIT), TOKENS)
    assert texts(explained)[:4] == [
        "Accepted: spend 0.5 SOL for USDC, receiving at least 76 USDC,"
        " at a price of 152 USDC per SOL or more, until it is cancelled.",
        "It rests: it waits for a price of 151.25 or more.",
        "Changed by the client: limitPrice from 152 to 151.25; it waits for a price of 151.25 or more.",
        "Triggered: the price is 151.3 for its size: the limit is reached.",
    ]
    topics = [sentence["topic"] for sentence in explained["sentences"][:4]]
    assert topics == ["order", "wait", "wait", "trigger"]
    assert explained["sentences"][3]["figures"]["triggered"] == {"price": "151.3"}
    assert [stage["status"] for stage in explained["stages"]][:4] == ["pending", "waiting", "waiting", "waiting"]


def test_what_a_resting_order_waits_for_is_not_repeated() -> None:
    at = "2026-11-29T16:34:49.468Z"
    history = [{**order()["events"][0], **LIMIT, "side": "buy"}, {"seq": 2, "status": "waiting", "at": at, **RESTS}]
    waiting = {"reason": "price", "detail": RESTS["detail"], "since": at}
    resting = order(
        status="waiting", events=history, attempts=[], waitingFor=waiting, finishedAt=None, finalizedAt=None
    )
    explained: dict[str, Any] = explain(resting, TOKENS)
    assert explained["summary"] == "The order is waiting: it waits for a price of 151.25 or more."
    assert len(texts(explained)) == 2


def test_a_recurring_order_is_explained_with_its_slices() -> None:
    at = "2026-11-29T16:34:49.468Z"
    posted = {"type": "recurring", "slices": 2, "every": "PT5M", "missed": "skip"}
    progress = {"filledSlices": 1, "averagePrice": "150.4"}
    history = [
        {"seq": 1, "status": "pending", "at": at, "side": "buy", "amount": "0.5", **posted},
        {"seq": 2, "status": "waiting", "at": at, "waitsFor": "time", "detail": "slice 1 of 2 is due at once"},
        {"seq": 3, "status": "waiting", "at": at, "slice": 1, "childId": "c", "detail": "slice 1 of 2 is made"},
        {"seq": 4, "status": "confirmed", "at": at, "amountIn": "500000000", "amountOut": "75200000",
         "finalized": True, **progress},
    ]  # fmt: skip
    child = {
        "orderId": "c", "slice": 1, "type": "market", "status": "confirmed", "failureReason": None, "createdAt": at,
        "finishedAt": at,
    }  # fmt: skip
    parent = order(
        events=history, attempts=[], venue=None, amountOut="75200000", children=[child], **posted, **progress
    )
    explained: dict[str, Any] = explain(parent, TOKENS)
    assert explained["summary"] == "Swapped 0.5 SOL for 75.2 USDC in 1 of 2 slices; the swap is final."
    assert texts(explained) == [
        "Accepted: spend 0.5 SOL for USDC, slippage of at most 50 bps, in 2 slices, one every 5 minutes.",
        "It rests: slice 1 of 2 is due at once.",
        "Slice 1 of 2 is made.",
        "Swapped 0.5 SOL for 75.2 USDC; the swap is final.",
        "Slice 1 is order c: confirmed.",
    ]
    cancelled = {**history[3], "status": "cancelled", "final": True}
    partly = {**parent, "status": "cancelled", "events": [*history[:3], cancelled]}
    assert explain(partly, TOKENS)["summary"] == (
        "The order was cancelled. Before, 0.5 SOL for 75.2 USDC were swapped in 1 of 2 slices."
    )
    uncounted = {**partly, "filledSlices": 0, "amountIn": None, "amountOut": None}
    assert str(explain(uncounted, TOKENS)["summary"]).endswith("Slices that were made before are not counted yet.")
    unfilled = {**uncounted, "feesPaid": "0", "children": [{**child, "status": "cancelled"}]}
    assert explain(unfilled, TOKENS)["summary"] == "The order was cancelled. Nothing was swapped."
    simulated = {**history[3], "status": "simulated"}
    dry = order(status="simulated", events=[*history[:3], simulated], attempts=[], venue=None, **posted, **progress)
    assert explain(dry, TOKENS)["summary"] == (
        "Dry run: 0.5 SOL for 75.222216 USDC were simulated in 1 of 2 slices. Nothing was signed or sent."
    )


def test_an_order_that_was_made_for_another_names_it() -> None:
    slice_order = order(parentId="p")
    assert texts(explain(slice_order, TOKENS))[0].startswith("Accepted for order p: spend 0.5 SOL")


def test_the_orders_that_a_fill_armed_are_named_with_their_state() -> None:
    child = {"orderId": "x", "role": "takeProfit", "type": "limit", "status": "failed", "failureReason": "no-route"}
    assert child_text(child) == "The take-profit that its fill armed is order x: failed (no-route)"


def test_prices_have_the_units_of_the_pair_as_it_was_posted() -> None:
    unknown = "9" * 43
    limited = order(outputMint=unknown)
    limited["events"][0] |= {**LIMIT, "side": "buy"}
    del limited["events"][0]["minOut"]
    assert f"at a price of 151.25 {unknown} per SOL or more" in texts(explain(limited, TOKENS))[0]
    assert WSOL not in texts(explain(limited, TOKENS))[0]


def test_an_order_that_waits_for_the_end_of_a_halt_is_not_described_as_resting() -> None:
    event = {"reason": "halted", "waitsFor": "halt", "detail": "signing is halted for this key since noon"}
    assert waiting_text(event) == "It waits: signing is halted for this key since noon"
