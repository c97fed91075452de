"""What the type of an order adds to a market order: its price, trigger, expiry and more, as validated values.

Stored as one JSON object with the names that clients use, so that an order's answer shows what its client sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from dexexec.domain.bracket import Bracket
from dexexec.domain.event import timestamp
from dexexec.domain.recurring import Recurring, Slice
from dexexec.domain.sniper_conditions import SniperConditions


class OrderType(StrEnum):
    """The type of an order. Stored in `orders.type`: the values never change."""

    MARKET = "market"
    LIMIT = "limit"
    SNIPER = "sniper"
    RECURRING = "recurring"


class TimeInForce(StrEnum):
    """How long a limit order is tried."""

    GTC = "GTC"  # rests until it is filled or cancelled
    GTT = "GTT"  # the same, until `expiresAt`
    IOC = "IOC"  # tried once, now
    FOK = "FOK"  # the same: an order is filled whole or not at all


class TriggerWhen(StrEnum):
    """On which side of its trigger price an order is triggered."""

    ABOVE = "above"  # at the trigger price or above
    BELOW = "below"  # at the trigger price or below


ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of an order; None where it has none.

    Prices are tokens of the pair's output mint per token of its input mint, for both sides. `trail_bps` is the distance
    of a trailing stop from the best rate seen, in bps. `share_bps` is the part of the wallet's balance that the order
    spends, in bps: 10,000 for "all". `close_account` gives the rent of the emptied token account back. `bracket` has
    the exits that the order's fill arms. `recurring` is the schedule of a recurring order, `slice` the place of one of
    its orders. `conditions` are a sniper's, and
    `mint_decimals` are those of the mint that it buys, once a launch has shown them.
    """

    time_in_force: TimeInForce | None = None
    limit_price: Decimal | None = None
    expires_at: datetime | None = None
    trigger_price: Decimal | None = None
    trigger_when: TriggerWhen | None = None
    trail_bps: int | None = None
    share_bps: int | None = None
    close_account: bool = False
    recurring: Recurring | None = None
    slice: Slice | None = None
    bracket: Bracket | None = None
    conditions: SniperConditions | None = None
    mint_decimals: int | None = None

    @property
    def has_trigger(self) -> bool:
        """Whether a stop, a take-profit or a trailing stop must be reached before the order is executed."""
        return self.trigger_price is not None or self.trail_bps is not None

    @property
    def rests(self) -> bool:
        """Whether the order waits for its price, for the times of its slices, or for a launch."""
        waits_for_price = self.has_trigger or self.time_in_force in (TimeInForce.GTC, TimeInForce.GTT)
        return waits_for_price or self.recurring is not None or self.conditions is not None

    @property
    def single_try(self) -> bool:
        """Whether the order has one round only."""
        return self.time_in_force in ONCE

    def detail(self) -> dict[str, object]:
        """The terms as JSON values, without those that it has not."""
        values: dict[str, object | None] = {
            "timeInForce": self.time_in_force,
            "limitPrice": _text(self.limit_price),
            "expiresAt": self.expires_at and timestamp(self.expires_at),
            "triggerPrice": _text(self.trigger_price),
            "triggerWhen": self.trigger_when,
            "trailBps": self.trail_bps,
            "shareBps": self.share_bps,
            "closeAccount": self.close_account or None,
            **(self.recurring.detail() if self.recurring else {}),
            "slice": self.slice and self.slice.detail(),
            "bracket": self.bracket and self.bracket.detail(),
            "conditions": None if self.conditions is None else self.conditions.detail(),
            "mintDecimals": self.mint_decimals,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, detail: Mapping[str, object]) -> "Terms":
        """The terms in a stored object. Raises `KeyError`, `TypeError` and `ValueError` for an object that this version
        cannot read."""
        return cls(
            time_in_force=TimeInForce(str(detail["timeInForce"])) if "timeInForce" in detail else None,
            limit_price=_price(detail.get("limitPrice")),
            expires_at=_time(detail.get("expiresAt")),
            trigger_price=_price(detail.get("triggerPrice")),
            trigger_when=TriggerWhen(str(detail["triggerWhen"])) if "triggerWhen" in detail else None,
            trail_bps=_integer(detail.get("trailBps")),
            share_bps=_integer(detail.get("shareBps")),
            close_account=detail.get("closeAccount") is True,
            recurring=Recurring.of(detail) if "slices" in detail else None,
            slice=Slice.of(detail["slice"]) if "slice" in detail else None,
            bracket=Bracket.of(detail.get("bracket")),
            conditions=_conditions(detail.get("conditions")),
            mint_decimals=_integer(detail.get("mintDecimals")),
        )


def _text(price: Decimal | None) -> str | None:
    return None if price is None else format(price, "f")


def _price(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _time(value: object) -> datetime | None:
    return None if value is None else datetime.fromisoformat(str(value)).astimezone(UTC)


def _conditions(value: object) -> SniperConditions | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError("conditions must be an object")
    return SniperConditions.of(value)


def _integer(value: object) -> int | None:
    return None if value is None else int(str(value))
