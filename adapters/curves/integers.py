"""Integer arithmetic that all curves use."""

PPM = 1_000_000
U64_MAX = 2**64 - 1
Q64 = 1 << 64
_MAX_EXPONENT = 0x80000


def ceil_div(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded up; the denominator is positive."""
    return -(-numerator // denominator)


def ppm(part: int, whole: int) -> int:
    """`part / whole` in parts per million, rounded up."""
    return -(-part * PPM // whole)


def pow64(base: int, exponent: int) -> int:
    """`base ** exponent` in Q64.64, rounded as Meteora's on-chain `pow` does (cp-amm `math/fee_math.rs`).

    `base` is positive, or 0 with an exponent that is not negative. Raises `OverflowError` where the program fails: for
    an exponent of 2^19 or more, or a result that is rounded to 0.
    """
    if exponent == 0:
        return Q64
    invert = exponent < 0
    exponent = abs(exponent)
    if exponent >= _MAX_EXPONENT:
        raise OverflowError(f"exponent {exponent} is out of range: at most {_MAX_EXPONENT - 1}")
    # The program inverts a base of at least one, and inverts the result back. Multiplying directly rounds differently.
    if base >= Q64:
        base = (2**128 - 1) // base
        invert = not invert
    # Square and multiply. Every product is rounded down, as in the program.
    result = Q64
    while exponent:
        if exponent & 1:
            result = result * base >> 64
        base = base * base >> 64
        exponent >>= 1
    if result == 0:
        raise OverflowError("the power is too small for Q64.64")
    return (2**128 - 1) // result if invert else result
