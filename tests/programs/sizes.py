"""Random swaps for a pool, from sizes that hardly count to such as move its price by several percent."""

from random import Random

from dexexec.domain.quote import Mode, SwapRequest
from tests.programs.market import Pool
from tests.programs.tokens import WORTH

LEAST = 1_000
"""Base units of the cheaper token, at least. Less is dust, which the CPMM program prices otherwise in builds of before
creator fees (tests/vectors/README.md): a cost below one unit it rounds to nothing or to one."""
SHARE = 20
"""The largest swap is one in so many of a pool's reserve."""


def draw(pool: Pool, chance: Random, slippage_bps: int = 50) -> SwapRequest:
    """Either way, either mode."""
    mint_in, mint_out = chance.choice([pool.mints, pool.mints[::-1]])
    mode = chance.choice(list(Mode))
    counted = mint_in if mode is Mode.EXACT_IN else mint_out
    return SwapRequest(
        mint_in=mint_in, mint_out=mint_out, amount=size(pool, counted, chance), mode=mode, slippage_bps=slippage_bps
    )


def size(pool: Pool, mint: str, chance: Random, share: int = SHARE) -> int:
    """Base units of one of the pool's mints, as many small ones as large ones."""
    least = LEAST * max(1, max(WORTH[one] for one in pool.mints) // WORTH[mint])
    return int(least * (pool.reserve(mint) // share / least) ** chance.random())
