"""The arithmetic of liquidity that is constant between two ticks, exact to the unit: Raydium CLMM and Orca Whirlpool.

Prices are square roots of token B per token A in Q64.64. The two programs compute the same amounts and the same next
price here. They differ in the price of a tick, which is in their own modules.
"""

from collections.abc import Callable
from math import log

from dexexec_adapters.curves.integers import PPM, ceil_div

MIN_TICK, MAX_TICK = -443_636, 443_636
Q64_MASK = (1 << 64) - 1
_LOG_OF_STEP = log(1.0001) / 2


def amount_a(low: int, high: int, liquidity: int, *, round_up: bool) -> int:
    """Token A between the prices `low` and `high`, both positive: L * (high - low) / (high * low)."""
    numerator = (liquidity << 64) * (high - low)
    return -(-numerator // (high * low)) if round_up else numerator // (high * low)


def amount_b(low: int, high: int, liquidity: int, *, round_up: bool) -> int:
    """Token B between the prices `low` and `high`: L * (high - low)."""
    return (liquidity * (high - low) + (Q64_MASK if round_up else 0)) >> 64


def price_after_input(price: int, liquidity: int, amount: int, *, a_to_b: bool) -> int:
    """The price after `amount` was paid, without its fee. `liquidity` is positive."""
    # Rounded so that the price moves less than the amount would allow: never past the next tick.
    if a_to_b:
        scaled = liquidity << 64
        return ceil_div(scaled * price, scaled + amount * price)
    return price + (amount << 64) // liquidity


def price_after_output(price: int, liquidity: int, amount: int, *, a_to_b: bool) -> int:
    """The price after `amount` was received; 0 or less if the liquidity cannot give it. `liquidity` is positive."""
    # Rounded so that the price moves at least as far as the amount needs.
    if a_to_b:
        return price - ceil_div(amount << 64, liquidity)
    scaled = liquidity << 64
    left = scaled - amount * price
    return ceil_div(scaled * price, left) if left > 0 else 0


def impact_ppm(price: int, net_in: int, out: int, ranges: int, *, a_to_b: bool) -> int:
    """How much less than at the spot price comes out, in parts per million rounded up."""
    # Each range rounds both amounts against the wallet by less than one unit, which is not an effect of the size.
    paid = max(net_in - ranges, 0)
    received = out + ranges
    if a_to_b:
        paid, received = paid * price**2, received << 128
    else:
        paid, received = paid << 128, received * price**2
    return ceil_div((paid - received) * PPM, paid) if paid > received else 0


def find_tick(sqrt_price: int, price_of: Callable[[int], int]) -> int:
    """The greatest tick whose price is at most `sqrt_price`, which is in the program's range. `price_of` is the
    program's price of a tick."""
    tick = min(max(round(log(sqrt_price / 2**64) / _LOG_OF_STEP), MIN_TICK), MAX_TICK)
    # The logarithm of floats is off by less than one tick: the exact prices decide.
    while tick < MAX_TICK and price_of(tick + 1) <= sqrt_price:
        tick += 1
    while tick > MIN_TICK and price_of(tick) > sqrt_price:
        tick -= 1
    return tick
