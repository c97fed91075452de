"""The bracket of an entry: the take-profit and the stop that its fill arms. Values only; `bracket_exits` arms them."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class ExitRole(StrEnum):
    """What an exit is for. Also the name of its field in a body, and a part of its order's id: never changes."""

    TAKE_PROFIT = "takeProfit"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """Where an exit is: at `price`, or where it returns `bps` more (take-profit) or less (stop) of the token that the
    entry spent than the entry spent of it. Exactly one of them is given.

    `limit_price` is for stops: the worst price that the triggered stop accepts; without it, it is a market order then.
    """

    price: Decimal | None = None
    bps: int | None = None
    limit_price: Decimal | None = None

    def detail(self) -> dict[str, object]:
        """The exit as JSON values, as clients send it."""
        values: dict[str, object | None] = {
            "price": _text(self.price),
            "bps": self.bps,
            "limitPrice": _text(self.limit_price),
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, detail: Mapping[str, object]) -> "Exit":
        """The exit in a stored object."""
        return cls(
            price=_price(detail.get("price")),
            bps=int(str(detail["bps"])) if "bps" in detail else None,
            limit_price=_price(detail.get("limitPrice")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """The exits of an entry: at least one of them."""

    take_profit: Exit | None = None
    stop: Exit | None = None

    def detail(self) -> dict[str, object]:
        """The bracket as JSON values, as clients send it."""
        exits = {ExitRole.TAKE_PROFIT: self.take_profit, ExitRole.STOP: self.stop}
        return {role.value: leg.detail() for role, leg in exits.items() if leg is not None}

    @classmethod
    def of(cls, detail: object) -> "Bracket | None":
        """The bracket in a stored object; None without one."""
        if not isinstance(detail, Mapping):
            return None
        legs = {role: Exit.of(detail[role.value]) for role in ExitRole if role.value in detail}
        return cls(take_profit=legs.get(ExitRole.TAKE_PROFIT), stop=legs.get(ExitRole.STOP))


def _text(price: Decimal | None) -> str | None:
    return None if price is None else format(price, "f")


def _price(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))
