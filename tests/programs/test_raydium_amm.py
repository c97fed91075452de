"""`raydium-amm` on Raydium's real program: what is realised is what was quoted, to the unit."""

from collections import Counter
from functools import partial
from random import Random

from dexexec.domain.quote import Mode, SwapRequest
from dexexec_adapters.curves.raydium_amm import SWAP_ONLY, WAITING_TRADE
from dexexec_adapters.raydium_amm.venue import RaydiumAmm
from tests.programs import dumps
from tests.programs.direct import START, Direct
from tests.programs.raydium_amm_pools import AmmPool, forget_counters, put_pool
from tests.programs.swap_runs import Recording, any_size, compare
from tests.support.service.process import say

pytestmark = dumps.needs("raydium-amm")

POOLS = 32
SWAPS = 100
"""Of each pool."""
FEES = [(25, 10_000), (25, 10_000), (0, 10_000), (1, 3), (1, 10**6), (9_999, 10_000)]


async def test_every_swap_of_every_pool_realises_its_quote(seed: int, runs: int) -> None:
    chance, counts, recording = Random(seed), Counter[str](), Recording(every=POOLS * SWAPS // 80)
    direct = Direct(dumps.programs("raydium-amm"))
    for _ in range(POOLS):
        pool = some_pool(direct, chance)
        venue = direct.venue(RaydiumAmm, pools=(str(pool.address),))
        await venue.prepare()
        draw = partial(next_request, direct, pool, chance)
        counts += await compare(direct, venue, draw, SWAPS * runs, recording)
        await venue.aclose()
    recording.write(RaydiumAmm.name)
    say(f"raydium-amm, seed {seed}: {dict(sorted(counts.items()))}")
    # Nothing can be had of some of the nearly empty pools.
    assert counts[Mode.EXACT_IN] + counts[Mode.EXACT_OUT] > POOLS * SWAPS // 2
    assert min(counts[Mode.EXACT_IN], counts[Mode.EXACT_OUT]) > POOLS * SWAPS // 6


def some_pool(direct: Direct, chance: Random) -> AmmPool:
    """Deep or nearly empty, and as often one-sided, with any fee, of either status that allows swaps."""
    deep, other = (any_size(chance, 10 ** chance.choice([3, 9, 15, 18])) for _ in range(2))
    reserves = chance.choice([(deep, deep), (deep, other), (other, deep)])
    return put_pool(
        direct,
        (direct.mint(decimals=9), direct.mint(decimals=6)),
        reserves,
        taken=(chance.randrange(10**6), chance.randrange(10**6)),
        fee=chance.choice(FEES),
        status=chance.choice([SWAP_ONLY, WAITING_TRADE]),
        open_time=START,
    )


def next_request(direct: Direct, pool: AmmPool, chance: Random) -> SwapRequest:
    """Either way, either mode, from one unit to more than the pool has."""
    forget_counters(direct, pool)
    token_in, token_out = chance.choice([pool.tokens, pool.tokens[::-1]])
    mode = chance.choice(list(Mode))
    counted = pool.reserves[pool.tokens.index(token_in if mode is Mode.EXACT_IN else token_out)]
    amount = any_size(chance, 2 * counted)
    return SwapRequest(mint_in=token_in.mint, mint_out=token_out.mint, amount=amount, mode=mode, slippage_bps=50)
