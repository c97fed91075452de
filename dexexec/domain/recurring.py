"""Recurring orders: an amount that is swapped in equal slices, one after each interval. Pure values and functions.

`plan` decides what is due at a time, and what becomes of slices that were missed. `resting.slices` acts on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum

from dexexec.domain.duration import duration_text, read_duration
from dexexec.domain.event import timestamp

MAX_PAUSE = timedelta(minutes=1)
"""The pause between two slices that catch up is a tenth of the interval, and at most this."""


class Missed(StrEnum):
    """What becomes of a slice that was not made before the next one was due."""

    SKIP = "skip"  # it is left out, and its part of the amount is not swapped
    CATCH_UP = "catchUp"  # it is made as soon as possible, with a pause behind the slice before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurring:
    """The schedule of a recurring order, and the prices at which its slices are swapped.

    The first slice is due at `start_at` (None: when the order is accepted). Each slice is an order with a deadline of
    `deadline_seconds`. The worse end of the price range is the order's bound; `best_other` is the better end as an
    amount of the token that the mode leaves open, in base units, for the order's whole amount.
    """

    slices: int
    every: timedelta
    missed: Missed
    deadline_seconds: int
    start_at: datetime | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    best_other: int | None = None

    def detail(self) -> dict[str, object]:
        """The schedule as JSON values, with the names that clients use."""
        values: dict[str, object | None] = {
            "slices": self.slices,
            "every": duration_text(self.every),
            "missed": self.missed,
            "deadlineSeconds": self.deadline_seconds,
            "startAt": self.start_at and timestamp(self.start_at),
            "minPrice": None if self.min_price is None else format(self.min_price, "f"),
            "maxPrice": None if self.max_price is None else format(self.max_price, "f"),
            "bestAmount": None if self.best_other is None else str(self.best_other),
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, detail: Mapping[str, object]) -> "Recurring":
        """The schedule in a stored object. Raises `KeyError` and `ValueError` for one that cannot be read."""
        every = read_duration(str(detail["every"]))
        if every is None:
            raise ValueError(f"not a duration: {detail['every']}")
        starts, least, most, best = (detail.get(name) for name in ("startAt", "minPrice", "maxPrice", "bestAmount"))
        return cls(
            slices=int(str(detail["slices"])),
            every=every,
            missed=Missed(str(detail["missed"])),
            deadline_seconds=int(str(detail["deadlineSeconds"])),
            start_at=None if starts is None else datetime.fromisoformat(str(starts)).astimezone(UTC),
            min_price=None if least is None else Decimal(str(least)),
            max_price=None if most is None else Decimal(str(most)),
            best_other=None if best is None else int(str(best)),
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """An order's place among the `total` slices of its parent. `best_other` as in `Recurring`, for this slice."""

    number: int
    total: int
    best_other: int | None = None

    def detail(self) -> dict[str, object]:
        """The slice as JSON values."""
        best = {} if self.best_other is None else {"bestAmount": str(self.best_other)}
        return {"number": self.number, "of": self.total, **best}

    @classmethod
    def of(cls, detail: object) -> "Slice":
        """The slice in a stored object. Raises `KeyError`, `TypeError` and `ValueError`."""
        if not isinstance(detail, Mapping):
            raise TypeError(f"not a slice: {detail}")
        best = detail.get("bestAmount")
        return cls(int(str(detail["number"])), int(str(detail["of"])), None if best is None else int(str(best)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the slices of an accepted order are due. Slices are numbered from 1."""

    starts_at: datetime
    every: timedelta
    slices: int
    missed: Missed
    expires_at: datetime | None = None

    @classmethod
    def of(cls, terms: Recurring, accepted_at: datetime, expires_at: datetime | None) -> "Schedule":
        """The schedule of an order that was accepted at that time, which is the earliest start."""
        return cls(
            starts_at=max(terms.start_at or accepted_at, accepted_at),
            every=terms.every,
            slices=terms.slices,
            missed=terms.missed,
            expires_at=expires_at,
        )

    def due_at(self, number: int) -> datetime:
        """When a slice is due."""
        return self.starts_at + (number - 1) * self.every

    def newest_due(self, now: datetime) -> int:
        """The number of the newest slice that is due; 0 before the first one."""
        return 0 if now < self.starts_at else min(self.slices, (now - self.starts_at) // self.every + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do with an order at a time: leave the slices `skipped` out, make slice `make` (None: none), and look
    again at `wake_at` (None: no slice is left)."""

    skipped: range
    make: int | None
    wake_at: datetime | None
    expired: bool = False


def plan(schedule: Schedule, next_slice: int, made_at: datetime | None, now: datetime) -> Plan:
    """What is to be done `now`. The slices before `next_slice` are made or left out; the last one was made `made_at`.

    A plan makes one slice at most, so that an outage never ends in a burst that moves the price.
    """
    if schedule.expires_at is not None and now >= schedule.expires_at:
        left = range(next_slice, schedule.slices + 1)
        return Plan(skipped=left, make=None, wake_at=None, expired=bool(left))
    newest = schedule.newest_due(now)
    if schedule.missed is Missed.CATCH_UP:
        number = next_slice
        earliest = (
            schedule.due_at(number) if made_at is None else max(schedule.due_at(number), made_at + pause(schedule))
        )
    else:
        # A slice is missed once the next one is due. For the last slice that would be the one after it.
        is_over = newest == schedule.slices and now >= schedule.due_at(newest + 1)
        number = max(next_slice, newest + 1 if is_over else newest)
        earliest = schedule.due_at(number)
    skipped = range(next_slice, number)
    if number > schedule.slices:
        return Plan(skipped=skipped, make=None, wake_at=None)
    if now < earliest:
        return Plan(skipped=skipped, make=None, wake_at=_not_after(earliest, schedule.expires_at))
    following = None
    if number < schedule.slices:
        following = schedule.due_at(number + 1)
        if schedule.missed is Missed.CATCH_UP:
            following = max(following, now + pause(schedule))
    return Plan(skipped=skipped, make=number, wake_at=following and _not_after(following, schedule.expires_at))


def pause(schedule: Schedule) -> timedelta:
    """The least time between two slices that catch up."""
    return min(schedule.every / 10, MAX_PAUSE)


def _not_after(at: datetime, expires_at: datetime | None) -> datetime:
    return at if expires_at is None else min(at, expires_at)


def share(total: int, slices: int, number: int) -> int:
    """The part of `total` that slice `number` swaps. The parts of all slices add up to `total`, and no two of them
    differ by more than one."""
    return total * number // slices - total * (number - 1) // slices


def least_of(total_limit: int, part: int, total: int) -> int:
    """The least amount that is allowed for `part` when it is `total_limit` for `total`: rounded up, so that it is
    never looser."""
    return -(-total_limit * part // total)


def most_of(total_limit: int, part: int, total: int) -> int:
    """The most that is allowed for `part` when it is `total_limit` for `total`: rounded down."""
    return total_limit * part // total


def in_tokens(part: int, amount: Decimal, amount_base: int) -> Decimal:
    """`part` base units of a token, of which `amount` tokens are `amount_base` base units."""
    # Their ratio is a power of ten, so the result is exact with enough digits.
    with localcontext(prec=120):
        return Decimal(format((part * amount / amount_base).normalize(), "f"))
