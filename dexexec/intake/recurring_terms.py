"""The schedule and the price range of a recurring order, in an order's body. Beside `order_terms` on an order's way."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from dexexec.domain.bound import amount_at
from dexexec.domain.duration import duration_text
from dexexec.domain.order import U64_MAX, Side
from dexexec.domain.quote import Mode
from dexexec.domain.recurring import Missed, Recurring
from dexexec.domain.terms import OrderType
from dexexec.intake.field_types import Choice, DecimalField, Duration, Field, Integer, Time
from dexexec.intake.order_fields import OrderFields
from dexexec.intake.order_terms import LONGEST_REST, TRAIL_BPS, TRIGGER_NAMES
from dexexec.intake.price_bounds import LIMIT_PRICE, MAX_IN, MIN_OUT, Swap, plain

SLICES = Integer(
    name="slices",
    description="In how many parts the amount is swapped.",
    least=2,
    most=1000,
    example=12,
)
EVERY = Duration(
    name="every",
    description="The time between two slices: an ISO 8601 duration from PT1S to P31D, without years and months.",
    example="PT5M",
)
START_AT = Time(
    name="startAt",
    description="When the first slice is due. Without it, now.",
    example="2030-01-31T12:00:00Z",
)
MISSED = Choice(
    name="missed",
    description="What becomes of slices that an outage cost: left out (`skip`, the default), or made as soon as"
    " possible (`catchUp`).",
    noun="way to treat missed slices",
    choices={one.value: one for one in Missed},
    expected='"skip" or "catchUp"',
)
MIN_PRICE = DecimalField(
    name="minPrice",
    description="No slice is swapped at a price below, in `outputMint` per `inputMint`.",
    example="140",
)
MAX_PRICE = DecimalField(
    name="maxPrice",
    description="No slice is swapped at a price above, in `outputMint` per `inputMint`.",
    example="160",
)
RECURRING_FIELDS: tuple[Field, ...] = (SLICES, EVERY, START_AT, MISSED, MIN_PRICE, MAX_PRICE)
MIN_EVERY = timedelta(seconds=1)
MAX_EVERY = timedelta(days=31)
LATE_START = timedelta(minutes=1)
"""How far in the past `startAt` may be: a request may be on its way, or be repeated. Then the order starts at once."""

_EVERY = 'an ISO 8601 duration from PT1S to P31D, such as "PT5M"'
_UNFIT = {
    **dict.fromkeys((LIMIT_PRICE, MIN_OUT, MAX_IN), "minPrice, maxPrice or both"),
    **dict.fromkeys((*TRIGGER_NAMES, TRAIL_BPS.name), "startAt for the time of the first slice"),
}
"""Fields that a recurring order cannot have, each with what does nearly the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringTerms:
    """The schedule; the least or the most of the token that the mode leaves open, in base units for the whole amount;
    and the canonical texts of the fields."""

    schedule: Recurring
    worst_other: int | None
    canonical: dict[str, str]


@dataclass(frozen=True, slots=True)
class _PriceRange:
    """The prices as they were sent, and both ends as amounts for the whole order: None where an end is open."""

    least: Decimal | None
    most: Decimal | None
    worst_other: int | None = None
    best_other: int | None = None


def read_recurring(
    fields: OrderFields,
    order_type: OrderType | None,
    *,
    side: Side | None,
    swap: Swap | None,
    deadline_seconds: int,
    expires_at: datetime | None,
    now_ms: int,
) -> RecurringTerms | None:
    """The terms of a recurring order; None if it is not one, or if they are invalid. Without `side` or `swap` another
    field is invalid, and only checks that do not need them are made."""
    if order_type is not OrderType.RECURRING:
        for field in RECURRING_FIELDS:
            if field.name in fields.given and order_type is not None:
                fields.wrong(field.name, "does not fit the type", 'only with "type": "recurring"')
        return None
    for name, expected in _UNFIT.items():
        if name in fields.given:
            fields.wrong(name, "does not fit a recurring order", expected)
    slices = _slices(fields, swap)
    every = _every(fields, slices)
    missed = MISSED.read(fields, Missed.SKIP)
    start_at = _start(fields, expires_at, datetime.fromtimestamp(now_ms / 1000, UTC))
    prices = _prices(fields, side, swap)
    if slices is None or every is None or missed is None:
        return None
    schedule = Recurring(
        slices=slices,
        every=every,
        missed=missed,
        deadline_seconds=deadline_seconds,
        start_at=start_at,
        min_price=prices.least,
        max_price=prices.most,
        best_other=prices.best_other,
    )
    canonical = {"every": duration_text(every)}
    canonical |= {
        name: plain(price) for name, price in (("minPrice", prices.least), ("maxPrice", prices.most)) if price
    }
    return RecurringTerms(schedule=schedule, worst_other=prices.worst_other, canonical=canonical)


def _slices(fields: OrderFields, swap: Swap | None) -> int | None:
    if SLICES.name not in fields.given:
        fields.wrong(SLICES.name, "is missing", SLICES.expected)
        return None
    # Zero is never valid, so it stands for an invalid value here.
    slices = SLICES.read(fields, 0)
    if slices and swap is not None and swap.amount < slices:
        fields.wrong("slices", "leaves slices of less than one base unit", f"at most {swap.amount} for this amount")
    return slices or None


def _every(fields: OrderFields, slices: int | None) -> timedelta | None:
    every = EVERY.read(fields, _EVERY)
    if every is None:
        return None
    if not MIN_EVERY <= every <= MAX_EVERY:
        fields.wrong("every", "is out of range", _EVERY)
    elif slices is not None and slices * every > LONGEST_REST:
        fields.wrong("every", f"makes {slices} slices take too long", f"at most {LONGEST_REST.days} days in all")
    return every


def _start(fields: OrderFields, expires_at: datetime | None, now: datetime) -> datetime | None:
    expected = f'a time in the future such as "{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"'
    start_at = START_AT.read(fields, expected)
    if start_at is None:
        return None
    if start_at < now - LATE_START:
        fields.past("startAt", f"{expected}, or no startAt to begin now")
    elif start_at > now + LONGEST_REST:
        fields.wrong("startAt", "is too far away", f"at most {LONGEST_REST.days} days from now")
    elif expires_at is not None and start_at >= expires_at:
        fields.wrong("startAt", "is not before expiresAt", "a time before expiresAt")
    return start_at


def _prices(fields: OrderFields, side: Side | None, swap: Swap | None) -> _PriceRange:
    least, most = MIN_PRICE.read(fields), MAX_PRICE.read(fields)
    if least is not None and most is not None and least >= most:
        fields.wrong("minPrice", "is not below maxPrice", "a price below maxPrice")
    if side is None or swap is None:
        return _PriceRange(least, most)
    # A buy spends the input mint, of which the price is that of one: the higher, the better. For a sell, the lower.
    worst, best = ("minPrice", "maxPrice") if side is Side.BUY else ("maxPrice", "minPrice")
    by_name = {"minPrice": least, "maxPrice": most}
    return _PriceRange(
        least,
        most,
        _other(fields, worst, by_name[worst], swap, tighter=True),
        _other(fields, best, by_name[best], swap, tighter=False),
    )


def _other(fields: OrderFields, name: str, price: Decimal | None, swap: Swap, *, tighter: bool) -> int | None:
    """The amount of the open token that `price` gives for the whole order: rounded so that no worse price is allowed
    at the range's worse end (`tighter`), and no better one at the other."""
    if price is None:
        return None
    scaled = Fraction(price) * Fraction(10) ** (swap.output.decimals - swap.input.decimals)
    given_in_output = swap.counted == swap.output
    if tighter:
        base = amount_at(scaled, swap.amount, given_in_output=given_in_output, mode=swap.mode)
    else:
        exact = swap.amount / scaled if given_in_output else swap.amount * scaled
        base = math.floor(exact) if swap.mode is Mode.EXACT_IN else math.ceil(exact)
    if 0 < base <= U64_MAX:
        return base
    limit = "more than a token account can hold" if base else "less than one base unit"
    fields.wrong(name, f"makes the other amount {limit}", f"a price of one {swap.input.symbol} in {swap.output.symbol}")
    return None
