"""The words every curve shares: the direction of a swap, the chain's clock, the result, the refusal."""

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
    """The chain's clock at the swap: slot number and Unix seconds. Pools open and fees decay by one or the other."""

    slot: int
    unix_timestamp: int


class Refusal(StrEnum):
    """Why a pool would not do a swap."""

    INVALID_AMOUNT = "invalid_amount"  # not positive, or more than a token account can hold
    ZERO_OUTPUT = "zero_output"  # too small: fees and rounding leave nothing
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"  # more than the pool has
    PRICE_RANGE = "price_range"  # the price would leave the pool's range
    MATH_OVERFLOW = "math_overflow"  # the program's integers would not hold the result
    CLOSED = "closed"  # switched off, or not open yet
    UNSUPPORTED = "unsupported"  # a kind of pool that this code does not price


class CurveError(Exception):
    """The pool would refuse this swap. `code` is for machines; the message names the amount or field and the bound."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SwapResult(Generic[PoolT]):
    """One swap, priced to the unit, and the pool it leaves behind.

    `amount_in` is what the taker pays and `amount_out` what the taker receives, in base units, all fees inside.
    `fee_in` is the whole fee taken from the input (base units of the input token), `fee_out` the whole fee taken from
    the output (base units of the output token). `protocol_fee` is the protocol's share of the trade fee, in the same
    token. `price_impact_ppm` is how much worse than the spot price the swap is because of its size alone, fees left
    out, in parts per million rounded up.
    """

    amount_in: int
    amount_out: int
    fee_in: int
    fee_out: int
    protocol_fee: int
    price_impact_ppm: int
    pool_after: PoolT


def check_amount(name: str, amount: int) -> None:
    """Refuse (`invalid_amount`) what no token account could hold or nobody would trade."""
    if not 0 < amount <= U64_MAX:
        raise CurveError(Refusal.INVALID_AMOUNT, f"{name} is {amount}: it must be from 1 to {U64_MAX}")


def check_output(amount_out: int) -> None:
    """Refuse (`zero_output`) a swap that would give the taker nothing."""
    if amount_out <= 0:
        raise CurveError(Refusal.ZERO_OUTPUT, "amount_in is too small: after fees and rounding nothing comes out")


def check_fits(name: str, amount: int) -> None:
    """Refuse (`math_overflow`) an amount beyond a token account's 64 bits."""
    if amount > U64_MAX:
        raise CurveError(Refusal.MATH_OVERFLOW, f"{name} would be {amount}: more than 64 bits hold")
