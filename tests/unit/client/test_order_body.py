"""What leaves the client: every kind of order with its fields, exactly, and never a float."""

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from dexexec.api.list_query import PARAMETERS
from dexexec.client.filters import Filters
from dexexec.client.order_body import camel, encode, idempotency_header, json_value, query_text
from dexexec.client.orders import (
    AnyOrder,
    Bracket,
    Conditions,
    Exit,
    LimitOrder,
    MarketOrder,
    RecurringOrder,
    SniperOrder,
)
from dexexec.config.settings import Settings
from dexexec.domain.order import Side
from dexexec.domain.sniper_conditions import Condition
from dexexec.domain.status import Status
from dexexec.intake.order_body import FIELDS, BodyReader
from dexexec.testing.clock import ManualClock

LATER = datetime(2030, 1, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
MINT = "7s1Pa6RQEp8dxzM324cM7SosFMQd6LcQyzsEzTEoTrUZ"
ORDERS: list[tuple[AnyOrder, dict[str, object]]] = [
    (MarketOrder("buy", "0.01"), {"type": "market", "side": "buy", "amount": "0.01"}),
    (
        MarketOrder(Side.SELL, Decimal("1E+2"), slippage_bps=50, tag="t", dry_run=True, mode="exactOut"),
        {
            "type": "market", "side": "sell", "amount": "100", "slippageBps": 50, "tag": "t", "dryRun": True,
            "mode": "exactOut",
        },
    ),
    (
        MarketOrder("buy", 2, trigger_price="120", trigger_when="below", expires_at=LATER),
        {
            "type": "market", "side": "buy", "amount": 2, "triggerPrice": "120", "triggerWhen": "below",
            "expiresAt": "2030-01-01T10:00:00.000Z",
        },
    ),
    (MarketOrder("buy", "1", trail_bps=300), {"type": "market", "side": "buy", "amount": "1", "trailBps": 300}),
    (
        LimitOrder(
            "sell",
            "300",
            limit_price=Decimal("151.25"),
            time_in_force="GTC",
            oco_group="exit-7",
            bracket=Bracket(take_profit=Exit(price="160"), stop=Exit(price="140", limit_price="139")),
        ),
        {
            "type": "limit", "side": "sell", "amount": "300", "limitPrice": "151.25", "timeInForce": "GTC",
            "ocoGroup": "exit-7",
            "bracket": {"takeProfit": {"price": "160"}, "stop": {"price": "140", "limitPrice": "139"}},
        },
    ),
    (
        RecurringOrder("buy", "12", slices=12, every=timedelta(minutes=5), missed="catchUp", min_price="100"),
        {
            "type": "recurring", "side": "buy", "amount": "12", "slices": 12, "every": "PT5M", "missed": "catchUp",
            "minPrice": "100",
        },
    ),
    (
        SniperOrder(MINT, "0.5", conditions=Conditions(min_liquidity="20", mint_authority_revoked=True)),
        {
            "type": "sniper", "mint": MINT, "amount": "0.5",
            "conditions": {"minLiquidity": "20", "mintAuthorityRevoked": True},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("order", "body"), ORDERS)
def test_an_order_has_the_fields_that_were_set_and_no_others(order: AnyOrder, body: dict[str, object]) -> None:
    assert json.loads(encode(order.body())) == body


@pytest.mark.parametrize("order", [order for order, _ in ORDERS if order.tag is None])
def test_the_service_reads_every_kind(order: AnyOrder) -> None:
    clock = ManualClock()
    reader = BodyReader(Settings(_env_file=None), clock, venues=["raydium"])
    new = reader.read(encode(order.body()), UUID(int=1), "127.0.0.1", None)
    assert new.type is order.type


def test_every_field_of_the_service_can_be_set() -> None:
    kinds: tuple[type[Any], ...] = (MarketOrder, LimitOrder, RecurringOrder, SniperOrder)
    settable = {camel(one.name) for kind in kinds for one in fields(kind)} | {"type"}
    assert set(FIELDS) <= settable
    assert {camel(one.name) for one in fields(Conditions)} == set(Condition)


class Exactly(float):
    """A subclass, as numpy has one."""


@pytest.mark.parametrize("value", [0.1, 1.0, float("nan"), Exactly(2)])
@pytest.mark.parametrize("place", ["amount", "limit_price", "slippage_bps", "every", "conditions", "body"])
def test_a_float_is_refused_wherever_it_is_and_the_error_shows_the_way_out(place: str, value: Any) -> None:
    makers: dict[str, Callable[[], object]] = {
        "amount": lambda: MarketOrder("buy", value).body(),
        "limit_price": lambda: LimitOrder("buy", "1", limit_price=value).body(),
        "slippage_bps": lambda: MarketOrder("buy", "1", slippage_bps=value).body(),
        "every": lambda: RecurringOrder("buy", "1", slices=2, every=value).body(),
        "conditions": lambda: SniperOrder(MINT, "1", conditions=Conditions(max_price=value)).body(),
        "body": lambda: encode({"bracket": {"stop": [{"price": value}]}}),
    }
    with pytest.raises(TypeError, match=r"is the float .*: use a string \(\".*\"\) or decimal.Decimal\("):
        makers[place]()


@pytest.mark.parametrize("value", [Fraction(1, 3), b"1", {1, 2}, object(), 1j])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="amount is a"):
        MarketOrder("buy", value).body()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN", "1E+999999999", "1E-999999999"])
def test_a_decimal_that_is_no_amount_is_refused_before_it_fills_the_memory(value: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        MarketOrder("buy", Decimal(value)).body()


def test_a_long_decimal_is_sent_digit_by_digit() -> None:
    digits = "0.1234567890123456789012345678901234567890"
    assert json_value("amount", Decimal(digits)) == digits


def test_a_time_needs_its_zone_and_a_duration_must_be_positive() -> None:
    with pytest.raises(ValueError, match="expires_at has no time zone"):
        LimitOrder("buy", "1", limit_price="1", expires_at=datetime(2030, 1, 1)).body()
    with pytest.raises(ValueError, match="every is not a positive duration"):
        RecurringOrder("buy", "1", slices=2, every=timedelta(0)).body()
    assert json_value("at", datetime(2030, 1, 1, tzinfo=UTC)) == "2030-01-01T00:00:00.000Z"


@pytest.mark.parametrize("key", ["", " a", "a\r\nX-Other: 1", "ä", "x" * 256, "\x00"])
def test_a_key_that_no_header_can_hold_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="Idempotency-Key"):
        idempotency_header(key)
    assert idempotency_header("my key-1") == "my key-1"


def test_names_of_fields_are_strings() -> None:
    with pytest.raises(TypeError, match="body has a int as the name of a field"):
        encode({1: "x"})


def test_the_filters_of_a_list_are_those_of_the_service() -> None:
    assert set(Filters().query()) == {one.name for one in PARAMETERS} - {
        "limit", "cursor", "totals", "fields", "inputMint", "outputMint",
    }  # fmt: skip
    wanted = Filters(status=[Status.FAILED, "expired"], since=LATER, dry_run=True, oco_group="g")
    assert query_text(wanted.query()) == {
        "status": "failed,expired", "from": "2030-01-01T10:00:00.000Z", "dryRun": "true", "ocoGroup": "g",
    }  # fmt: skip
    assert query_text(Filters(status="failed", dry_run=False).query()) == {"status": "failed", "dryRun": "false"}
