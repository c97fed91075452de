"""The types that all curves share: the direction of a swap, the chain's time, the result and the refusals."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Generic, NamedTuple, TypeVar

from dexexec_adapters.curves.integers import U64_MAX

PoolT = TypeVar("PoolT")


class TradeDirection(Enum):
    """Which token of the pool is paid. Token A is the pool's first token (CPMM calls it token 0), B its second."""

    A_TO_B = "a_to_b"
    B_TO_A = "b_to_a"


class ChainTime(NamedTuple):
    """The chain's time at the swap, as a slot number and as Unix seconds. Opening times and fees use either."""

    slot: int
    unix_timestamp: int


class Refusal(StrEnum):
    """Why a pool would refuse a swap."""

    INVALID_AMOUNT = "invalid_amount"  # not positive, or more than a token account can hold
    ZERO_OUTPUT = "zero_output"  # too small: fees and rounding leave nothing
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"  # the pool does not hold enough
    PRICE_RANGE = "price_range"  # the price would leave the pool's range
    MATH_OVERFLOW = "math_overflow"  # the program's integers would not hold the result
    CLOSED = "closed"  # switched off, or not open yet
    UNSUPPORTED = "unsupported"  # this code cannot price this kind of pool


class CurveError(Exception):
    """The pool would refuse this swap. The message names the amount or field, and its limit."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code


class MissingArray(Exception):  # noqa: N818 - a request for more, which a venue answers
    """The price depends on arrays of ticks or bins that were not read: those with these indexes."""

    def __init__(self, indexes: Sequence[int]) -> None:
        super().__init__(f"the arrays {', '.join(map(str, indexes))} were not read")
        self.indexes = tuple(indexes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapResult(Generic[PoolT]):
    """A priced swap, exact to the unit, and the state of the pool after it.

    `amount_in` is what the wallet pays and `amount_out` what it receives, in base units including all fees. `fee_in` is
    the whole fee taken from the input, in the input token; `fee_out` is the whole fee taken from the output, in the
    output token. `protocol_fee` is the protocol's share of the trade fee. `price_impact_ppm` is how much worse than the
    spot price the swap is because of its size, without fees, in parts per million rounded up. `arrays` are the indexes
    of the arrays of ticks or bins that the swap needs, in its order.
    """

    amount_in: int
    amount_out: int
    fee_in: int
    fee_out: int
    protocol_fee: int
    price_impact_ppm: int
    pool_after: PoolT
    arrays: tuple[int, ...] = ()


def check_amount(name: str, amount: int) -> None:
    """Raises `CurveError` (`invalid_amount`) for an amount below 1 or beyond a token account's 64 bits."""
    if not 0 < amount <= U64_MAX:
        raise CurveError(Refusal.INVALID_AMOUNT, f"{name} is {amount}: it must be from 1 to {U64_MAX}")


def check_output(amount_out: int) -> None:
    """Raises `CurveError` (`zero_output`) when the swap would give the wallet nothing."""
    if amount_out <= 0:
        raise CurveError(Refusal.ZERO_OUTPUT, "amount_in is too small: after fees and rounding nothing comes out")


def check_fits(name: str, amount: int) -> None:
    """Raises `CurveError` (`math_overflow`) for an amount beyond a token account's 64 bits."""
    if amount > U64_MAX:
        raise CurveError(Refusal.MATH_OVERFLOW, f"{name} would be {amount}, which does not fit in 64 bits")
