"""Changing an order that rests: what may change, by the rules of a new order, and who wins a race."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dexexec.config.settings import Settings
from dexexec.domain.amendment import AmendableOrder, Amended, Amendment
from dexexec.domain.bound import Bound
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import (
    InvalidOrderError,
    MalformedBodyError,
    NotRestingError,
    OrderNotFoundError,
    UnavailableError,
    VersionMismatchError,
)
from dexexec.intake.amending import Amending
from dexexec.intake.order_body import BodyReader
from dexexec.testing.clock import ManualClock

ID = UUID(int=7)
PAIR = {"side": "buy", "mode": "exactIn", "inputMint": WSOL, "outputMint": USDC, "amount": "2"}
LIMIT = {**PAIR, "type": "limit", "timeInForce": "GTC", "limitPrice": "151.25"}
STOP = {**PAIR, "type": "market", "triggerPrice": "120", "triggerWhen": "below"}
NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = "2026-11-02T00:00:00.000Z"


def resting(posted: Mapping[str, object] = LIMIT, **changes: Any) -> AmendableOrder:
    about: dict[str, Any] = {
        "id": ID,
        "version": 2,
        "status": Status.WAITING,
        "type": OrderType(str(posted["type"])),
        "resting": True,
        "ended": False,
        "triggered": False,
        "posted": posted,
        "last": {},
    }
    return AmendableOrder(**{**about, **changes})


class Orders:
    """One order. `meanwhile` is what becomes of it between a look at it and the write of a change."""

    def __init__(self, order: AmendableOrder | None, meanwhile: AmendableOrder | None = None) -> None:
        self.order = order
        self.meanwhile = meanwhile
        self.written: list[Amendment] = []
        self.up = True

    async def amendable(self, order_id: UUID, owner: int | None = None) -> AmendableOrder | None:
        assert order_id == ID
        return self.order

    async def amend(self, order_id: UUID, version: int, amendment: Amendment) -> int | None:
        assert order_id == ID
        if not self.up:
            raise UnavailableError("Postgres does not answer")
        if self.meanwhile is not None:
            self.order, self.meanwhile = self.meanwhile, None
            return None
        self.written.append(amendment)
        return version + 1


def amending(orders: Orders) -> Amending:
    clock = ManualClock(unix_ms=round(NOW.timestamp() * 1000))
    return Amending(orders, BodyReader(Settings(_env_file=None), clock))


async def amend(orders: Orders, body: object, versions: frozenset[int] | None = frozenset({2})) -> Amended:
    return await amending(orders).amend(ID, json.dumps(body).encode(), versions)


async def refused(posted: Mapping[str, object], body: object, **about: Any) -> list[tuple[str, str]]:
    """The fields that are refused, each with what is wrong; nothing was written."""
    orders = Orders(resting(posted, **about))
    with pytest.raises(InvalidOrderError) as caught:
        await amend(orders, body)
    assert orders.written == []
    assert all(problem.expected for problem in caught.value.fields)
    return [(problem.field, problem.problem) for problem in caught.value.fields]


async def test_a_new_limit_moves_the_bound_and_is_an_event_with_both_prices() -> None:
    orders = Orders(resting())
    changes = {"limitPrice": {"from": "151.25", "to": "150.5"}}
    assert await amend(orders, {"limitPrice": "150.5"}) == Amended(order_id=ID, seq=3, changes=changes)
    [written] = orders.written
    assert (written.bound, written.bound_open) == (Bound(301_000_000, 2_000_000_000), False)
    assert written.terms == {"timeInForce": "GTC", "limitPrice": "150.5"}
    assert (written.amount_base, written.moves_expiry) == (2_000_000_000, False)
    assert written.detail == {
        "waitsFor": "price",
        "amended": changes,
        "minOut": "301000000",
        "maxIn": "2000000000",
        "detail": "it waits for a price of 150.5 or more",
    }


@pytest.mark.parametrize(
    ("side", "mode", "bound"),
    [
        ("buy", "exactIn", Bound(302_500_000, 2_000_000_000)),
        ("buy", "exactOut", Bound(2_000_000, 13_223_140)),
        ("sell", "exactIn", Bound(13_223_141, 2_000_000)),
        ("sell", "exactOut", Bound(2_000_000_000, 302_500_000)),
    ],
)
async def test_a_new_amount_recomputes_the_bound_at_the_same_price(side: str, mode: str, bound: Bound) -> None:
    orders = Orders(resting({**LIMIT, "side": side, "mode": mode, "amount": "1"}))
    await amend(orders, {"amount": "2"})
    [written] = orders.written
    assert (written.amount, written.bound) == (Decimal(2), bound)
    assert written.changes == {"amount": {"from": "1", "to": "2"}}


async def test_a_share_of_the_balance_is_changed_to_an_amount_and_back() -> None:
    posted = {**LIMIT, "side": "sell", "amount": "all", "closeAccount": True}
    orders = Orders(resting(posted))
    await amend(orders, {"limitPrice": "150"})
    await amend(orders, {"amount": "25.5"})
    await amend(Orders(resting({**posted, "amount": "25.5"})), {"amount": "all"})
    price, amount = orders.written
    assert price.changes == {"limitPrice": {"from": "151.25", "to": "150"}}
    assert price.terms == {**_terms("150"), "shareBps": 10_000, "closeAccount": True}
    # One token again, until the balance is read: no bound can be computed before.
    assert (price.amount_base, price.bound, price.bound_open) == (10**6, None, False)
    assert amount.changes == {"amount": {"from": "all", "to": "25.5"}}
    assert amount.terms == {**_terms("151.25"), "closeAccount": True}
    assert (amount.amount_base, amount.bound and amount.bound.max_in) == (25_500_000, 25_500_000)
    half = {**LIMIT, "amount": "50%"}
    assert (await amend(Orders(resting(half)), {"amount": "50.00%"})).changes == {}
    assert [name for name, _ in await refused(posted, {"amount": "50%"})] == ["closeAccount"]


def _terms(limit_price: str) -> dict[str, object]:
    return {"timeInForce": "GTC", "limitPrice": limit_price}


async def test_a_stop_is_moved_and_turned_and_keeps_no_bound() -> None:
    orders = Orders(resting(STOP))
    await amend(orders, {"triggerPrice": "180", "triggerWhen": "above"})
    [written] = orders.written
    assert (written.bound, written.bound_open) == (None, True)
    assert written.terms == {"triggerPrice": "180", "triggerWhen": "above"}
    assert written.detail["detail"] == "it waits for a price of 180 or more"


async def test_an_expiry_is_set_moved_and_taken_away() -> None:
    orders = Orders(resting())
    answer = await amend(orders, {"expiresAt": LATER})
    assert answer.changes == {
        "expiresAt": {"from": None, "to": LATER},
        "timeInForce": {"from": "GTC", "to": "GTT"},
    }
    limited = {**LIMIT, "timeInForce": "GTT", "expiresAt": LATER}
    orders.order = resting(limited)
    assert (await amend(orders, {"expiresAt": "2026-11-03T01:00:00+01:00"})).changes == {
        "expiresAt": {"from": LATER, "to": "2026-11-03T00:00:00.000Z"}
    }
    orders.order = resting(limited)
    assert (await amend(orders, {"expiresAt": None})).changes == {
        "expiresAt": {"from": LATER, "to": None},
        "timeInForce": {"from": "GTT", "to": "GTC"},
    }
    assert [(one.moves_expiry, one.expires_at) for one in orders.written] == [
        (True, datetime(2026, 11, 2, tzinfo=UTC)),
        (True, datetime(2026, 11, 3, tzinfo=UTC)),
        (True, None),
    ]


async def test_several_fields_change_together() -> None:
    orders = Orders(resting())
    answer = await amend(orders, {"amount": "1.5", "limitPrice": "149", "expiresAt": LATER})
    assert list(answer.changes) == ["limitPrice", "expiresAt", "amount", "timeInForce"]
    assert orders.written[0].bound == Bound(223_500_000, 1_500_000_000)


async def test_the_same_values_change_nothing_and_write_nothing() -> None:
    orders = Orders(resting())
    answer = await amend(orders, {"limitPrice": "151.250", "amount": "2.0"})
    assert (answer, orders.written) == (Amended(order_id=ID, seq=2, changes={}), [])


@pytest.mark.parametrize(
    ("posted", "body", "problems"),
    [
        (LIMIT, {}, [("", "changes nothing")]),
        (LIMIT, {"side": "sell"}, [("side", "cannot be changed: cancel the order and post another")]),
        (LIMIT, {"limitprice": "1"}, [("limitprice", "cannot be changed: cancel the order and post another")]),
        (LIMIT, {"limitPrice": "-1"}, [("limitPrice", "is negative")]),
        (LIMIT, {"limitPrice": True}, [("limitPrice", "is a boolean")]),
        (LIMIT, {"limitPrice": None}, [("limitPrice", "is null")]),
        (LIMIT, {"amount": "0.0000000001"}, [("amount", "has more decimals than SOL")]),
        (LIMIT, {"expiresAt": "2026-10-01T00:00:00Z"}, [("expiresAt", "is in the past")]),
        (LIMIT, {"expiresAt": "tomorrow"}, [("expiresAt", "is not a time with a zone (RFC 3339)")]),
        (LIMIT, {"triggerPrice": "150"}, [("triggerWhen", "is missing beside triggerPrice")]),
        (STOP, {"triggerWhen": "at"}, [("triggerWhen", "is not a known side of a trigger")]),
        (STOP, {"limitPrice": "1"}, [("limitPrice", "does not fit a market order with a trigger")]),
        (
            LIMIT,
            {"limitPrice": "x", "amount": ""},
            [("amount", "is empty"), ("limitPrice", "is not a plain decimal number")],
        ),
    ],
)
async def test_every_bad_field_is_named_as_for_a_new_order(
    posted: Mapping[str, object], body: object, problems: list[tuple[str, str]]
) -> None:
    assert await refused(posted, body) == problems


async def test_a_field_that_is_given_twice_is_refused() -> None:
    orders = Orders(resting())
    with pytest.raises(InvalidOrderError, match="limitPrice: is given more than once"):
        await amending(orders).amend(ID, b'{"limitPrice": "1", "limitPrice": "2"}', frozenset({2}))


async def test_a_trigger_that_was_reached_cannot_be_moved_but_its_limit_can() -> None:
    posted = {**LIMIT, "triggerPrice": "120", "triggerWhen": "below"}
    assert await refused(posted, {"triggerPrice": "110"}, triggered=True) == [("triggerPrice", "was reached already")]
    orders = Orders(resting(posted, triggered=True))
    await amend(orders, {"limitPrice": "119"})
    assert orders.written[0].detail["detail"] == "it waits for a price of 119 or more"


async def test_a_body_that_is_no_object_is_refused_before_the_order_is_read() -> None:
    with pytest.raises(MalformedBodyError):
        await amend(Orders(None), [])


async def test_an_unknown_order_is_not_found() -> None:
    with pytest.raises(OrderNotFoundError):
        await amend(Orders(None), {"amount": "1"})


async def test_another_version_is_refused_with_the_current_one_and_any_is_allowed_by_a_star() -> None:
    orders = Orders(resting(version=5))
    with pytest.raises(VersionMismatchError, match="version 5 now") as caught:
        await amend(orders, {"amount": "1"}, frozenset({2, 3}))
    assert caught.value.about == {"orderId": str(ID), "orderStatus": "waiting", "seq": 5}
    assert (await amend(orders, {"amount": "1"}, frozenset({3, 5}))).seq == 6
    assert (await amend(orders, {"amount": "3"}, None)).seq == 6


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        ({"status": Status.CANCELLED, "ended": True}, "the order has ended: it is cancelled"),
        ({"status": Status.WAITING}, "the order was triggered, and a worker takes it up: it can be changed if"),
        ({"status": Status.BUILDING}, "the order is being executed (building): it can be changed if it comes back"),
        ({"status": Status.PENDING}, "the order is executed at once: only an order that rests can be changed"),
    ],
)
async def test_an_order_that_does_not_rest_is_a_conflict_whatever_version_is_named(
    state: dict[str, Any], detail: str
) -> None:
    orders = Orders(resting(resting=False, version=4, **state))
    for versions in (frozenset({2}), frozenset({4}), None):
        with pytest.raises(NotRestingError) as caught:
            await amend(orders, {"amount": "1"}, versions)
        assert str(caught.value).startswith(detail)
        assert caught.value.about == {"orderId": str(ID), "orderStatus": state["status"], "seq": 4}


async def test_a_trigger_that_comes_first_wins_and_the_client_gets_to_know() -> None:
    orders = Orders(resting(), meanwhile=resting(resting=False, version=3))
    with pytest.raises(NotRestingError, match="was triggered"):
        await amend(orders, {"amount": "1"})
    assert orders.written == []


async def test_another_change_that_comes_first_wins() -> None:
    orders = Orders(resting(), meanwhile=resting({**LIMIT, "limitPrice": "149"}, version=3))
    with pytest.raises(VersionMismatchError):
        await amend(orders, {"amount": "1"})
    assert orders.written == []


async def test_a_repeated_request_whose_answer_was_lost_gets_the_same_answer() -> None:
    changes = {"limitPrice": {"from": "151.25", "to": "150"}}
    orders = Orders(resting({**LIMIT, "limitPrice": "150"}, version=3, last={"amended": changes}))
    answer = await amend(orders, {"limitPrice": "150.0"})
    assert answer == Amended(order_id=ID, seq=3, changes=changes, repeated=True)
    with pytest.raises(VersionMismatchError):
        await amend(orders, {"limitPrice": "149"})
    assert orders.written == []


async def test_an_outage_says_that_the_order_may_be_changed() -> None:
    orders = Orders(resting())
    orders.up = False
    with pytest.raises(UnavailableError, match="may be changed: repeat the request"):
        await amend(orders, {"limitPrice": "150"})


TRAILING = {**PAIR, "type": "market", "trailBps": 300}
SNIPER = {**PAIR, "type": "sniper", "outputMint": "9" * 43, "conditions": {"minLiquidity": "20"}}
RECURRING = {
    **PAIR, "type": "recurring", "side": "sell", "mode": "exactOut", "slices": 4, "every": "PT5M", "missed": "skip",
    "deadlineSeconds": 300, "startAt": "2026-10-01T00:00:00.000Z", "maxPrice": "160",
}  # fmt: skip


async def test_a_trail_is_changed_and_only_a_new_amount_begins_its_mark_anew() -> None:
    orders = Orders(resting(TRAILING))
    await amend(orders, {"trailBps": 500})
    await amend(orders, {"amount": "1"})
    assert [(one.terms["trailBps"], one.resizes) for one in orders.written] == [(500, False), (300, True)]
    assert await refused(TRAILING, {"trailBps": 0}) == [("trailBps", "is out of range")]
    assert await refused(TRAILING, {"triggerPrice": "1", "triggerWhen": "above"}) != []


async def test_a_snipers_amount_and_expiry_are_changed_and_its_conditions_stay() -> None:
    orders = Orders(resting(SNIPER))
    await amend(orders, {"amount": "0.5", "expiresAt": LATER})
    [written] = orders.written
    assert written.terms == {"conditions": {"minLiquidity": "20"}, "expiresAt": LATER}
    assert (written.amount_base, written.bound, written.moves_expiry) == (500_000_000, None, True)
    assert await refused(SNIPER, {"limitPrice": "1"}) == [
        ("limitPrice", "cannot be changed: cancel the order and post another")
    ]


async def test_the_conditions_of_a_sniper_are_replaced_as_a_whole() -> None:
    orders = Orders(resting(SNIPER))
    conditions = {"maxPrice": "0.00005", "maxPriceImpactBps": 200}
    answer = await amend(orders, {"conditions": conditions})
    assert answer.changes == {"conditions": {"from": {"minLiquidity": "20"}, "to": {**conditions}}}
    assert (orders.written[0].terms, orders.written[0].max_price_impact_bps) == ({"conditions": conditions}, 200)
    assert (await amend(orders, {"conditions": {"minLiquidity": "20"}})).changes == {}
    assert await refused(SNIPER, {"conditions": {"maxPrice": "-1", "x": 1}}) == [
        ("conditions.x", "is not a condition of a sniper"),
        ("conditions.maxPrice", "is negative"),
    ]


async def test_the_price_range_and_expiry_of_a_recurring_order_are_changed_and_its_schedule_stays() -> None:
    orders = Orders(resting(RECURRING, last={"waitsFor": "time", "nextSliceAt": LATER, "detail": "slice 3 is due"}))
    answer = await amend(orders, {"maxPrice": "150", "minPrice": "100", "expiresAt": LATER})
    assert list(answer.changes) == ["minPrice", "maxPrice", "expiresAt"]
    [written] = orders.written
    schedule = ("slices", "every", "missed", "deadlineSeconds", "startAt")
    assert [written.terms[name] for name in schedule] == [RECURRING[name] for name in schedule]
    assert [written.terms[name] for name in ("minPrice", "maxPrice", "expiresAt")] == ["100", "150", LATER]
    assert (written.bound, written.wakes_at_expiry) == (Bound(2_000_000_000, 300_000_000), False)
    assert (written.detail["waitsFor"], written.detail["nextSliceAt"]) == ("time", LATER)
    orders.order = resting(RECURRING)
    assert (await amend(orders, {"maxPrice": None})).changes == {"maxPrice": {"from": "160", "to": None}}
    assert await refused(RECURRING, {"amount": "3"}) == [
        ("amount", "cannot be changed: cancel the order and post another")
    ]
