"""Orca Whirlpool: the fee of a pool, which may rise with the distance that the price has moved lately.

It follows orca-so/whirlpools at commit 630c0e0. File names in comments are below `programs/whirlpool/src` there.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from dexexec_adapters.curves.integers import ceil_div
from dexexec_adapters.curves.swap import CurveError, Refusal
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK
from dexexec_adapters.curves.whirlpool_ticks import sqrt_price_at, tick_at

MOST_FEE_RATE = 100_000
"""Millionths of the input (manager/fee_rate_manager.rs, FEE_RATE_HARD_LIMIT)."""
# state/oracle.rs
GROUP_SCALE = 10_000
REDUCTION_DENOMINATOR = 10_000
CONTROL_DENOMINATOR = 100_000
MOST_REFERENCE_AGE = 3_600
"""Seconds after which the references begin anew."""
U32_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveFee:
    """The part of a pool's fee that moves with its price: constants, and what the last swaps have left.

    Ticks are grouped, and the fee follows the number of groups between the price and a reference. Periods are seconds,
    times are Unix seconds. Raises `ValueError` for constants that the program refuses.
    """

    filter_period: int
    decay_period: int
    reduction_factor: int
    control_factor: int
    max_volatility: int
    group_size: int
    major_swap_ticks: int
    reference_updated_at: int
    major_swap_at: int
    volatility_reference: int
    group_reference: int
    volatility: int

    def __post_init__(self) -> None:
        # state/oracle.rs, validate_constants
        if not self.group_size > 0 or self.max_volatility * self.group_size > U32_MAX:
            raise ValueError("the size of a group of ticks is impossible")
        if not 0 < self.major_swap_ticks <= MAX_TICK:
            raise ValueError("major_swap_ticks is impossible")
        if not 0 <= self.volatility_reference <= self.max_volatility:
            raise ValueError("volatility_reference is above max_volatility")

    def begun(self, group: int, now: int) -> "AdaptiveFee":
        """With the references of a swap that begins in a group of ticks. Raises `CurveError` if the last swap was later
        than `now`."""
        # state/oracle.rs, update_reference
        last = max(self.reference_updated_at, self.major_swap_at)
        if now < last:
            raise CurveError(Refusal.CLOSED, f"the pool's last swap was at {last}, after {now}")
        elapsed = now - last
        if now - self.reference_updated_at > MOST_REFERENCE_AGE or elapsed >= self.decay_period:
            return replace(self, group_reference=group, volatility_reference=0, reference_updated_at=now)
        if elapsed < self.filter_period:
            return self
        # Reduced by at least nothing: a reduction factor is below its denominator.
        kept = min(self.volatility * self.reduction_factor // REDUCTION_DENOMINATOR, self.max_volatility)
        return replace(self, group_reference=group, volatility_reference=kept, reference_updated_at=now)

    def volatility_in(self, group: int) -> int:
        """The volatility while the price is in a group of ticks."""
        moved = abs(self.group_reference - group)
        return min(self.volatility_reference + moved * GROUP_SCALE, self.max_volatility)

    def rate(self, volatility: int) -> int:
        """The fee rate in millionths of the input, rounded up."""
        # manager/fee_rate_manager.rs, compute_adaptive_fee_rate
        crossed = volatility * self.group_size
        return min(
            ceil_div(self.control_factor * crossed**2, CONTROL_DENOMINATOR * GROUP_SCALE**2),
            MOST_FEE_RATE,
        )

    def ended(self, volatility: int, prices: tuple[int, int], now: int) -> "AdaptiveFee":
        """After a swap that moved the price from the first to the second of `prices`."""
        # state/oracle.rs, is_major_swap
        low, high = sorted(prices)
        is_major = high >= low * sqrt_price_at(self.major_swap_ticks) >> 64
        return replace(self, volatility=volatility, major_swap_at=now if is_major else self.major_swap_at)


class FeeRates(Protocol):
    """The fee rates on a swap's way through the ticks."""

    def rate(self) -> int:
        """The rate of the next range, in millionths of the input."""

    def bounded(self, target: int, liquidity: int) -> int:
        """Up to which price that rate holds, at most `target`."""

    def advance(self, price: int, tick: int) -> None:
        """The range ended at `price`; `tick` is the next one in use."""

    def after(self, prices: tuple[int, int]) -> AdaptiveFee | None:
        """What the swap leaves, which moved the price from the first to the second of `prices`."""


@dataclass(frozen=True, slots=True)
class StaticRates:
    """A fee rate that no swap changes."""

    fee_rate: int

    def rate(self) -> int:
        """Always the same."""
        return self.fee_rate

    def bounded(self, target: int, liquidity: int) -> int:
        """The whole range."""
        return target

    def advance(self, price: int, tick: int) -> None:
        """Nothing to note."""

    def after(self, prices: tuple[int, int]) -> None:
        """Nothing is left."""


class AdaptiveRates:
    """Fee rates that change from one group of ticks to the next (manager/fee_rate_manager.rs)."""

    def __init__(self, fee: AdaptiveFee, static_rate: int, tick_current: int, now: int, *, a_to_b: bool) -> None:
        self._group = tick_current // fee.group_size
        self._fee = fee.begun(self._group, now)
        self._static = static_rate
        self._now = now
        self._a_to_b = a_to_b
        self._volatility = self._fee.volatility
        self._skipped = False
        # Beyond these groups the volatility is at its most: no need to stop at each of them.
        reach = ceil_div(self._fee.max_volatility - self._fee.volatility_reference, GROUP_SCALE)
        self._lowest = self._fee.group_reference - reach
        self._highest = self._fee.group_reference + reach

    def rate(self) -> int:
        """The rate in the group where the price is."""
        self._volatility = self._fee.volatility_in(self._group)
        return min(self._static + self._fee.rate(self._volatility), MOST_FEE_RATE)

    def bounded(self, target: int, liquidity: int) -> int:
        """Up to the end of the group, or as far as the rate does not change."""
        # get_bounded_sqrt_price_target
        size = self._fee.group_size
        self._skipped = True
        if self._fee.control_factor == 0 or liquidity == 0:
            return target
        low, high = self._lowest * size, (self._highest + 1) * size
        if low > MIN_TICK and self._group < self._lowest:
            return target if self._a_to_b else min(target, sqrt_price_at(low))
        if high < MAX_TICK and self._group > self._highest:
            return max(target, sqrt_price_at(high)) if self._a_to_b else target
        self._skipped = False
        boundary = self._group * size if self._a_to_b else (self._group + 1) * size
        price = sqrt_price_at(min(max(boundary, MIN_TICK), MAX_TICK))
        return max(target, price) if self._a_to_b else min(target, price)

    def advance(self, price: int, tick: int) -> None:
        """To the next group. Several may have been skipped, with the same rate."""
        # advance_tick_group, advance_tick_group_after_skip
        if self._skipped:
            size = self._fee.group_size
            at = tick if price == sqrt_price_at(tick) else tick_at(price)
            is_boundary = at % size == 0 and price == sqrt_price_at(at)
            last = at // size - 1 if is_boundary and not self._a_to_b else at // size
            if (last < self._group) if self._a_to_b else (last > self._group):
                self._group = last
                self._volatility = self._fee.volatility_in(last)
        self._group += -1 if self._a_to_b else 1

    def after(self, prices: tuple[int, int]) -> AdaptiveFee:
        """The fee after the swap."""
        return self._fee.ended(self._volatility, prices, self._now)
