"""The fee rate of a Meteora DLMM pool: a base, and a part that rises with the bins that swaps have crossed lately.

It follows MeteoraAg/dlmm-sdk at commit fb02e51, `commons/src/extensions/lb_pair.rs`. Rates are billionths of an
amount.
"""

from dataclasses import dataclass

from dexexec_adapters.curves.integers import ceil_div
from dexexec_adapters.curves.swap import CurveError, Refusal

FEE_PRECISION = 10**9
MAX_FEE_RATE = FEE_PRECISION // 10
BASIS_POINTS = 10_000
_VARIABLE_SCALE = 10**11
_U32_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmmFee:
    """The fee's constants. Periods are seconds, `reduction_factor` and `protocol_share` basis points."""

    base_factor: int
    bin_step: int
    base_fee_power_factor: int = 0
    filter_period: int = 0
    decay_period: int = 0
    reduction_factor: int = 0
    variable_fee_control: int = 0
    max_volatility_accumulator: int = 0
    protocol_share: int = 0

    def rate(self, volatility: int) -> int:
        """The rate for a volatility accumulator. Raises `CurveError` (`math_overflow`) where the program fails."""
        # The exponent is a byte: without its bound, hostile bytes would make a number of hundreds of digits.
        if self.base_fee_power_factor > 38:
            raise _overflow("base_fee_power_factor", self.base_fee_power_factor)
        power: int = 10**self.base_fee_power_factor
        rate = self.base_factor * self.bin_step * 10 * power
        if self.variable_fee_control:
            rate += ceil_div(self.variable_fee_control * (volatility * self.bin_step) ** 2, _VARIABLE_SCALE)
        return min(rate, MAX_FEE_RATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmmVolatility:
    """How far the price has moved lately, in bins times 10,000. `updated_at` is Unix seconds."""

    accumulator: int = 0
    reference: int = 0
    index_reference: int = 0
    updated_at: int = 0

    def at_swap(self, fee: DlmmFee, active_id: int, unix_timestamp: int) -> "DlmmVolatility":
        """As it is when a swap begins. Raises `CurveError` (`math_overflow`) where the program fails."""
        elapsed = unix_timestamp - self.updated_at
        if elapsed < fee.filter_period:
            return self
        reference = 0
        if elapsed < fee.decay_period:
            product = self.accumulator * fee.reduction_factor
            if product > _U32_MAX:
                raise _overflow("the volatility accumulator", self.accumulator)
            reference = product // BASIS_POINTS
        return DlmmVolatility(
            accumulator=self.accumulator,
            reference=reference,
            index_reference=active_id,
            updated_at=self.updated_at,
        )

    def in_bin(self, fee: DlmmFee, bin_id: int) -> int:
        """The accumulator while the swap trades with a bin: its own moves count at once."""
        moved = abs(self.index_reference - bin_id) * BASIS_POINTS
        return min(self.reference + moved, fee.max_volatility_accumulator)


def _overflow(name: str, value: int) -> CurveError:
    return CurveError(Refusal.MATH_OVERFLOW, f"{name} is {value}: the fee does not fit in the program's integers")
