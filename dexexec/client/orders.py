"""The orders that can be placed, with their fields typed. docs/ORDERS.md of the service describes each kind.

Amounts and prices are a `Decimal`, a string or an int, never a float. A field that is None is not sent, so that the
service's default applies. The service checks everything; its refusal names each field.
"""

from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar, Literal

from dexexec.client.order_body import dataclass_body
from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.domain.recurring import Missed
from dexexec.domain.terms import OrderType, TimeInForce, TriggerWhen

Amount = Decimal | str | int
"""A number of tokens. As a string also `"all"` or `"50%"`: a share of the wallet's balance."""
Price = Decimal | str | int
"""Tokens of the output mint per token of the input mint, for both sides."""
SideName = Side | Literal["buy", "sell"]
ModeName = Mode | Literal["exactIn", "exactOut"]
TimeInForceName = TimeInForce | Literal["GTC", "GTT", "IOC", "FOK"]
TriggerName = TriggerWhen | Literal["above", "below"]
MissedName = Missed | Literal["skip", "catchUp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """An exit of a bracket: at a `price`, or `bps` away from what the entry spent. `limit_price` is for a stop only:
    the worst price that it accepts."""

    price: Price | None = None
    bps: int | None = None
    limit_price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """The exits that an order's fill arms."""

    take_profit: Exit | None = None
    stop: Exit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the pool of a launch must fulfil, so that a sniper buys."""

    min_liquidity: Amount | None = None
    max_price: Price | None = None
    max_price_impact_bps: int | None = None
    max_age_ms: int | None = None
    mint_authority_revoked: bool | None = None
    freeze_authority_revoked: bool | None = None
    max_transfer_fee_bps: int | None = None
    venues: list[str] | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """The fields that every kind has."""

    type: ClassVar[OrderType]
    _: KW_ONLY
    input_mint: str | None = None
    max_price_impact_bps: int | None = None
    slippage_bps: int | None = None
    tag: str | None = None
    wallet: str | None = None
    dry_run: bool | None = None

    def body(self) -> dict[str, object]:
        """The body of the request. Raises `TypeError` for a float, and `ValueError` for a number that is not finite."""
        return {"type": self.type.value, **dataclass_body(self)}


@dataclass(frozen=True, slots=True)
class _Swap(_Order):
    """The fields of orders that are one swap."""

    side: SideName
    amount: Amount
    _: KW_ONLY
    mode: ModeName | None = None
    output_mint: str | None = None
    limit_price: Price | None = None
    trigger_price: Price | None = None
    trigger_when: TriggerName | None = None
    trail_bps: int | None = None
    expires_at: datetime | str | None = None
    deadline_seconds: int | None = None
    oco_group: str | None = None
    bracket: Bracket | None = None
    close_account: bool | None = None


@dataclass(frozen=True, slots=True)
class MarketOrder(_Swap):
    """Swaps now, or once `trigger_price` is reached (a stop or a take-profit), or the price has turned by `trail_bps`
    (a trailing stop). `min_out`, `max_in` or `limit_price` bound the price of an order without a trigger. `payer` is
    the address of your own wallet: you sign the transaction of the `waiting` event, and `sign` sends it back."""

    type = OrderType.MARKET
    _: KW_ONLY
    min_out: Amount | None = None
    max_in: Amount | None = None
    payer: str | None = None


@dataclass(frozen=True, slots=True)
class LimitOrder(_Swap):
    """Rests until `limit_price` is there; with `IOC` or `FOK` it is tried once. With a trigger it becomes a limit
    order when that is reached."""

    type = OrderType.LIMIT
    _: KW_ONLY
    time_in_force: TimeInForceName | None = None


@dataclass(frozen=True, slots=True)
class RecurringOrder(_Order):
    """Swaps `amount` in equal parts, one `every` interval: a TWAP, or a purchase each day."""

    type = OrderType.RECURRING
    side: SideName
    amount: Amount
    _: KW_ONLY
    slices: int
    every: timedelta | str
    mode: ModeName | None = None
    output_mint: str | None = None
    start_at: datetime | str | None = None
    missed: MissedName | None = None
    min_price: Price | None = None
    max_price: Price | None = None
    expires_at: datetime | str | None = None
    deadline_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class SniperOrder(_Order):
    """Buys once when a pool of `mint` is launched that fulfils the `conditions`."""

    type = OrderType.SNIPER
    mint: str
    amount: Amount
    _: KW_ONLY
    conditions: Conditions | None = None
    expires_at: datetime | str | None = None
    oco_group: str | None = None


AnyOrder = MarketOrder | LimitOrder | RecurringOrder | SniperOrder
