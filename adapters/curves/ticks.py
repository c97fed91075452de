"""The arithmetic of liquidity that is constant between two ticks, exact to the unit: Raydium CLMM and Orca Whirlpool.

Prices are square roots of token B per token A in Q64.64. The two programs compute the same amounts and the same next
price here. They differ in the price of a tick, which is in their own modules.
"""

from dexexec_adapters.curves.integers import ceil_div

Q64_MASK = (1 << 64) - 1


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
