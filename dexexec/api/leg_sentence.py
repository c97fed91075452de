"""What each pool does of a swap over several, as a part of a sentence. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dexexec.domain.quote import BPS


def legs_text(legs: Sequence[Mapping[str, Any]], mint_in: str, amount: Callable[[str, str], str]) -> str:
    """Pools side by side with their shares, or one after the other; empty without legs.

    `amount` writes base units of a mint. `mint_in` is what the whole swap sells.
    """
    parts = []
    for leg in legs:
        share = f"{leg['shareBps'] / 100:g} % " if leg["shareBps"] < BPS else ""
        bought = amount(leg["amountOut"], leg["mintOut"])
        sold = amount(leg["amountIn"], leg["mintIn"])
        parts.append(f"{share}over {leg['venue']} {leg['pool']}, {bought} for {sold}")
    in_a_row = any(leg["mintIn"] != mint_in for leg in legs)
    return "; " + (", then " if in_a_row else ", and ").join(parts) if parts else ""
