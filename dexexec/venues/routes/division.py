"""Divides a swap over pools so that the next unit has the same price in each: then no other division gives more. Pure.

Each pool is a row of stretches (`dexexec.domain.depth`). What the pools take (or give) down to a price only grows as
the price falls, so a search over the ends of all stretches finds the two between which the wanted amount is reached.
Between them the sum is `fixed + liquidity / root` (or `fixed - liquidity x root`), which is solved exactly.
"""

from bisect import bisect_left
from collections.abc import Sequence

from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Mode

Pool = Sequence[Stretch]


def divide(pools: Sequence[Pool], amount: float, mode: Mode) -> list[float]:
    """The part of each pool: of the input `amount` (exact in), or of the output `amount` (exact out), in base units.

    The parts are less in all if the pools do not take, or have, so much.
    """
    stretches = [stretch for pool in pools for stretch in pool]
    ends = sorted({root for stretch in stretches for root in (stretch.start, stretch.end)}, reverse=True)

    def reached(root: float) -> float:
        return sum(_used(stretch, root, mode, at_root=True) for stretch in stretches)

    place = bisect_left(ends, amount, key=reached)
    if place == len(ends):
        # Every stretch is used in full.
        return [sum(_used(stretch, ends[-1], mode, at_root=True) for stretch in pool) for pool in pools]
    root = ends[place]
    liquidity = sum(stretch.liquidity for stretch in stretches if stretch.end <= root < stretch.start)
    above = sum(_used(stretch, root, mode, at_root=False) for stretch in stretches)
    if liquidity and above > amount:
        before = sum(_used(stretch, ends[place - 1], mode, at_root=True) for stretch in stretches)
        if mode is Mode.EXACT_IN:
            root = liquidity / (amount - before + liquidity / ends[place - 1])
        else:
            root = ends[place - 1] - (amount - before) / liquidity
        above = amount
    parts = [sum(_used(stretch, root, mode, at_root=False) for stretch in pool) for pool in pools]
    # What is left is taken at this very price, by stretches where it does not change.
    left = amount - above
    for index, pool in enumerate(pools):
        for stretch in pool:
            if left > 0 and stretch.start == stretch.end == root:
                taken = min(left, _used(stretch, root, mode, at_root=True))
                parts[index] += taken
                left -= taken
    return parts


def _used(stretch: Stretch, root: float, mode: Mode, *, at_root: bool) -> float:
    """What a stretch takes, or gives, while its price is above `root` squared; with `at_root` also at that price."""
    start, end, liquidity, amount_in = stretch
    if start == end:
        whole = start >= root if at_root else start > root
        return (amount_in if mode is Mode.EXACT_IN else amount_in * start * start) if whole else 0.0
    if start <= root:
        return 0.0
    last = max(end, root)
    if mode is Mode.EXACT_OUT:
        return liquidity * (start - last)
    # The price of a constant product falls to 0 only for an endless input.
    return liquidity * (1 / last - 1 / start) if last else float("inf")
