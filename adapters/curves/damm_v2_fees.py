"""The fee of a Meteora DAMM v2 pool: a base fee that may fall over time, and a surcharge for volatility.

It follows MeteoraAg/damm-v2 at commit a3d3827. File names in comments are below `programs/cp-amm/src` there. Fees are
numerators over 10^9.
"""

from dataclasses import dataclass, replace

from dexexec_adapters.curves.integers import Q64, ceil_div, pow64
from dexexec_adapters.curves.swap import CurveError, Refusal

FEE_DENOMINATOR = 1_000_000_000
MAX_FEE_NUMERATOR = {0: 500_000_000, 1: 990_000_000}
"""The largest total fee, by `fee_version` (`constants.rs`)."""
BASIS_POINTS = 10_000

# Values of `BaseFee.base_fee_mode`. The first two are time schedulers.
LINEAR = 0
EXPONENTIAL = 1
RATE_LIMITER = 2
MARKET_CAP_SCHEDULERS = (3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseFee:
    """The account's `base_fee_info` as a time scheduler, the only supported kind.

    The fee starts at `cliff_fee_numerator` and falls once every `period_frequency` (slots or seconds, by the pool's
    `activation_type`), `number_of_period` times: by the numerator `reduction_factor` when linear, by
    `reduction_factor` bps of itself when exponential. With a `period_frequency` of 0 it stays at the cliff.
    """

    cliff_fee_numerator: int
    base_fee_mode: int = LINEAR
    number_of_period: int = 0
    period_frequency: int = 0
    reduction_factor: int = 0

    def numerator(self, point: int, activation_point: int) -> int:
        """The fee at `point`. Raises `CurveError`: `unsupported` for other modes, and `math_overflow` where the program
        fails."""
        mode = self.base_fee_mode
        if mode not in (LINEAR, EXPONENTIAL):
            raise CurveError(
                Refusal.UNSUPPORTED, f"base_fee_mode is {mode} ({_mode_name(mode)}): only 0 and 1 can be priced"
            )
        if self.period_frequency == 0 or self.reduction_factor == 0:
            return self.cliff_fee_numerator
        # base_fee/fee_time_scheduler.rs, get_base_fee_numerator: before the activation the last, lowest fee applies.
        period = self.number_of_period
        if point >= activation_point:
            period = min((point - activation_point) // self.period_frequency, period)
        if mode == LINEAR:
            fee = self.cliff_fee_numerator - self.reduction_factor * period
            if fee < 0:
                raise CurveError(Refusal.MATH_OVERFLOW, f"the base fee would fall below 0 in period {period}")
            return fee
        # math/fee_math.rs, get_fee_in_period: fee = cliff * (1 - reduction)^period, in Q64.64.
        try:
            kept = pow64(Q64 - self.reduction_factor * Q64 // BASIS_POINTS, period)
        except OverflowError as error:
            raise CurveError(Refusal.MATH_OVERFLOW, f"the base fee vanishes in period {period}") from error
        return kept * self.cliff_fee_numerator >> 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicFee:
    """The surcharge for volatility: its parameters, and the state that swaps change.

    Periods and timestamps are seconds, `reduction_factor` is bps; the volatilities count bins of `bin_step` bps in
    ten-thousandths; `bin_step_u128` is the step in Q64.64.
    """

    max_volatility_accumulator: int
    variable_fee_control: int
    filter_period: int
    decay_period: int
    reduction_factor: int
    bin_step: int = 1
    bin_step_u128: int = Q64 // BASIS_POINTS
    last_update_timestamp: int = 0
    sqrt_price_reference: int = 0
    volatility_accumulator: int = 0
    volatility_reference: int = 0

    def numerator(self) -> int:
        """The surcharge from the volatility of earlier swaps. A swap's own move counts only for the next swap."""
        # state/fee.rs, get_variable_fee: (volatility * bin step)^2 * control / 10^11, rounded up.
        return ceil_div((self.volatility_accumulator * self.bin_step) ** 2 * self.variable_fee_control, 10**11)

    def after_swap(self, before: int, after: int, unix_timestamp: int) -> "DynamicFee":
        """The state after a swap moved the sqrt price from `before` to `after`."""
        elapsed = unix_timestamp - self.last_update_timestamp
        price_reference = self.sqrt_price_reference
        volatility_reference = self.volatility_reference
        # state/fee.rs, update_references. A pool that never traded has no reference price; on chain its clock is then
        # always past the filter period.
        if elapsed >= self.filter_period or price_reference == 0:
            price_reference = before
            decayed = self.volatility_accumulator * self.reduction_factor // BASIS_POINTS
            volatility_reference = decayed if elapsed < self.decay_period else 0
        # state/fee.rs, update_volatility_accumulator.
        volatility = volatility_reference + self._bins(price_reference, after) * BASIS_POINTS
        # state/pool.rs, update_post_swap: the time is only updated when the swap crossed a bin.
        return replace(
            self,
            last_update_timestamp=unix_timestamp if self._bins(before, after) else self.last_update_timestamp,
            sqrt_price_reference=price_reference,
            volatility_accumulator=min(volatility, self.max_volatility_accumulator),
            volatility_reference=volatility_reference,
        )

    def _bins(self, sqrt_price: int, other: int) -> int:
        """The number of bins between two sqrt prices: twice the number of steps between the roots."""
        # state/fee.rs, get_delta_bin_id.
        low, high = (sqrt_price, other) if sqrt_price < other else (other, sqrt_price)
        return 2 * (((high << 64) // low - Q64) // self.bin_step_u128)


def total_fee_numerator(
    base: BaseFee, dynamic: DynamicFee | None, fee_version: int, point: int, activation_point: int
) -> int:
    """Base fee plus surcharge, up to the cap. `point` is a slot or Unix seconds.

    Raises `CurveError` for unsupported kinds.
    """
    cap = MAX_FEE_NUMERATOR.get(fee_version)
    if cap is None:
        raise CurveError(Refusal.UNSUPPORTED, f"fee_version is {fee_version}: only 0 and 1 are supported")
    fee = base.numerator(point, activation_point)
    if dynamic is not None:
        fee += dynamic.numerator()
    return min(fee, cap)


def _mode_name(mode: int) -> str:
    if mode == RATE_LIMITER:
        return "rate limiter"
    return "market-cap scheduler" if mode in MARKET_CAP_SCHEDULERS else "unknown"
