"""The progress of a recurring order: how many slices were made, left out, ended and filled, and what they moved."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

_COUNTS = {
    "nextSlice": "next_slice",
    "madeSlices": "made",
    "skippedSlices": "skipped",
    "endedSlices": "ended",
    "filledSlices": "filled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The slices before `next_slice` were either `made`, as orders of their own, or `skipped`.

    `ended` of the orders have ended, `filled` of these with a fill. The amounts are the sums of the fills, in base
    units, `average_price` is that of all fills. `made_at` is when the last slice was made, `last_reason` why the last
    order without a fill ended. `simulated`: the fills are those of dry runs. `expired`: the rest was left out since the
    order's expiry had passed.
    """

    next_slice: int = 1
    made: int = 0
    skipped: int = 0
    ended: int = 0
    filled: int = 0
    amount_in: int = 0
    amount_out: int = 0
    made_at: datetime | None = None
    last_reason: str | None = None
    average_price: str | None = None
    expired: bool = False
    simulated: bool = False

    def with_skipped(self, count: int) -> "Progress":
        """The progress after the next `count` slices were left out."""
        return replace(self, next_slice=self.next_slice + count, skipped=self.skipped + count)

    def with_made(self, at: datetime) -> "Progress":
        """The progress after the next slice was made."""
        return replace(self, next_slice=self.next_slice + 1, made=self.made + 1, made_at=at)

    def with_fill(self, amount_in: int, amount_out: int, *, simulated: bool = False) -> "Progress":
        """The progress after an order of a slice was filled, or ran dry."""
        before = self
        if self.filled and simulated != self.simulated:
            # Dry runs were switched on or off in between. Sums of both would be neither: what was swapped counts alone.
            if simulated:
                return self.without_fill(None)
            before = replace(self, filled=0, amount_in=0, amount_out=0)
        return replace(
            before,
            ended=before.ended + 1,
            filled=before.filled + 1,
            amount_in=before.amount_in + amount_in,
            amount_out=before.amount_out + amount_out,
            simulated=simulated,
        )

    def without_fill(self, reason: str | None) -> "Progress":
        """The progress after an order of a slice ended without a fill."""
        return replace(self, ended=self.ended + 1, last_reason=reason or self.last_reason)

    def is_over(self, slices: int) -> bool:
        """Whether no slice is left and all orders have ended."""
        return self.next_slice > slices and self.ended == self.made

    def shown(self) -> dict[str, object]:
        """What clients see of it."""
        return {
            "madeSlices": self.made,
            "skippedSlices": self.skipped,
            "endedSlices": self.ended,
            "filledSlices": self.filled,
            "averagePrice": self.average_price,
        }

    def detail(self) -> dict[str, object]:
        """The progress as JSON values. Amounts are texts, since many JSON readers would round them."""
        values: dict[str, object | None] = {name: getattr(self, field) for name, field in _COUNTS.items()}
        values |= {
            "amountIn": str(self.amount_in),
            "amountOut": str(self.amount_out),
            "madeAt": self.made_at and self.made_at.astimezone(UTC).isoformat(),
            "lastReason": self.last_reason,
            "averagePrice": self.average_price,
            "expired": self.expired or None,
            "simulated": self.simulated or None,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, detail: Mapping[str, object] | None) -> "Progress":
        """The progress in a stored object; nothing was made yet without one. Raises `KeyError` and `ValueError`."""
        if detail is None:
            return cls()
        made_at, reason, price = (detail.get(name) for name in ("madeAt", "lastReason", "averagePrice"))
        return cls(
            **{field: int(str(detail[name])) for name, field in _COUNTS.items()},
            amount_in=int(str(detail["amountIn"])),
            amount_out=int(str(detail["amountOut"])),
            made_at=None if made_at is None else datetime.fromisoformat(str(made_at)),
            last_reason=None if reason is None else str(reason),
            average_price=None if price is None else str(price),
            expired=detail.get("expired") is True,
            simulated=detail.get("simulated") is True,
        )
