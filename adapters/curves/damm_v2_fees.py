"""The fee of a Meteora DAMM v2 pool: a base fee that may fall with time, and a surcharge that follows volatility.

The arithmetic is that of MeteoraAg/damm-v2 at a3d3827 (`base_fee/`, `state/fee.rs`). Fees are numerators over 10^9.
"""

from dataclasses import dataclass, replace

from dexexec_adapters.curves.integers import Q64, ceil_div, pow64
from dexexec_adapters.curves.swap import CurveError, Refusal

FEE_DENOMINATOR = 1_000_000_000
MAX_FEE_NUMERATOR = {0: 500_000_000, 1: 990_000_000}
"""The cap of the total fee by `fee_version`."""
BASIS_POINTS = 10_000
LINEAR, EXPONENTIAL, RATE_LIMITER = 0, 1, 2
"""`BaseFee.base_fee_mode`: the time schedulers and the rate limiter; 3 and 4 are market-cap schedulers."""


@dataclass(frozen=True, slots=True)
class BaseFee:
    """`base_fee_info` read as a time scheduler, the only kind priced here.

    The fee starts at `cliff_fee_numerator` and falls once every `period_frequency` (slots or seconds, as the pool's
    `activation_type` says), `number_of_period` times: by the numerator `reduction_factor` when linear, by
    `reduction_factor` bps of itself when exponential. With a `period_frequency` of 0 it stays at the cliff.
    """

    cliff_fee_numerator: int
    base_fee_mode: int = LINEAR
    number_of_period: int = 0
    period_frequency: int = 0
    reduction_factor: int = 0

    def numerator(self, point: int, activation_point: int) -> int:
        """The fee at `point`. Raises `CurveError`: `unsupported` for other modes, `math_overflow` as the program."""
        mode = self.base_fee_mode
        if mode not in (LINEAR, EXPONENTIAL):
            kind = "rate limiter" if mode == RATE_LIMITER else "market-cap scheduler" if mode in (3, 4) else "unknown"
            raise CurveError(Refusal.UNSUPPORTED, f"base_fee_mode is {mode} ({kind}): only 0 and 1 can be priced")
        if self.period_frequency == 0 or self.reduction_factor == 0:
            return self.cliff_fee_numerator
        period = self.number_of_period
        if point >= activation_point:
            period = min((point - activation_point) // self.period_frequency, period)
        if mode == LINEAR:
            fee = self.cliff_fee_numerator - self.reduction_factor * period
            if fee < 0:
                raise CurveError(Refusal.MATH_OVERFLOW, f"the base fee would fall below 0 in period {period}")
            return fee
        try:
            kept = pow64(Q64 - self.reduction_factor * Q64 // BASIS_POINTS, period)
        except OverflowError as error:
            raise CurveError(Refusal.MATH_OVERFLOW, f"the base fee vanishes in period {period}") from error
        return kept * self.cliff_fee_numerator >> 64


@dataclass(frozen=True, slots=True)
class DynamicFee:
    """The surcharge for volatility: parameters and the state that swaps move.

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
        """The surcharge, from the volatility of earlier swaps: a swap's own move counts only for the next one."""
        return ceil_div((self.volatility_accumulator * self.bin_step) ** 2 * self.variable_fee_control, 10**11)

    def after_swap(self, before: int, after: int, unix_timestamp: int) -> "DynamicFee":
        """The state once a swap moved the sqrt price from `before` to `after`."""
        elapsed = unix_timestamp - self.last_update_timestamp
        price_reference, volatility_reference = self.sqrt_price_reference, self.volatility_reference
        # A pool that never traded has no reference price; on chain its clock is then always past the filter period.
        if elapsed >= self.filter_period or price_reference == 0:
            price_reference = before
            decayed = self.volatility_accumulator * self.reduction_factor // BASIS_POINTS
            volatility_reference = decayed if elapsed < self.decay_period else 0
        volatility = volatility_reference + self._bins(price_reference, after) * BASIS_POINTS
        return replace(
            self,
            last_update_timestamp=unix_timestamp if self._bins(before, after) else self.last_update_timestamp,
            sqrt_price_reference=price_reference,
            volatility_accumulator=min(volatility, self.max_volatility_accumulator),
            volatility_reference=volatility_reference,
        )

    def _bins(self, sqrt_price: int, other: int) -> int:
        """How many bins lie between two sqrt prices: twice the steps of the root."""
        low, high = (sqrt_price, other) if sqrt_price < other else (other, sqrt_price)
        return 2 * (((high << 64) // low - Q64) // self.bin_step_u128)


def total_fee_numerator(
    base: BaseFee, dynamic: DynamicFee | None, fee_version: int, point: int, activation_point: int
) -> int:
    """Base fee plus surcharge, capped. `point` is slot or Unix seconds. Raises `CurveError` for unpriced kinds."""
    cap = MAX_FEE_NUMERATOR.get(fee_version)
    if cap is None:
        raise CurveError(Refusal.UNSUPPORTED, f"fee_version is {fee_version}: known are 0 and 1")
    fee = base.numerator(point, activation_point)
    if dynamic is not None:
        fee += dynamic.numerator()
    return min(fee, cap)
