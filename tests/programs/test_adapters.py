"""Both adapters against the venues' real programs: what is realised is what was quoted, to the unit.

Discovery, quote, build, seal, simulation, sending and confirmation go over the localnet's RPC, as in the service.
"""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from dexexec.domain.quote import Quote
from dexexec.domain.swap import Landed, fill_of
from dexexec.domain.token import WSOL
from dexexec.venue import AnyVenue
from dexexec.venues.registry import VenueClass
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.raydium.venue import Raydium
from tests.programs import dumps
from tests.programs.localnet import ProgramsLocalnet, programs_localnet
from tests.programs.market import Pool
from tests.programs.sizes import draw
from tests.support.service.process import say

pytestmark = dumps.needed

KINDS: dict[str, VenueClass] = {"raydium": Raydium, "meteora": Meteora}
SWAPS = 12
"""Of each pool."""
PAUSES = [0.4, 0.4, 1, 5, 15, 200]
"""Seconds between two swaps: volatility fees remember some seconds, and schedules have steps of an hour."""


@pytest.mark.parametrize("name", KINDS)
async def test_every_swap_of_every_pool_realises_its_quote(tmp_path: Path, name: str, seed: int, runs: int) -> None:
    counts: Counter[str] = Counter()
    chance = Random(seed)
    async with programs_localnet(tmp_path / "ledger", seed) as on:
        before, fees = on.balances(), 0
        for pool in [pool for pool in on.market.pools if pool.venue == name]:
            venue = on.venue(KINDS[name], pools=(pool.address,))
            await venue.prepare()
            for _ in range(SWAPS * runs):
                on.skip(chance.choice(PAUSES))
                request = draw(pool, chance)
                quote = await venue.quote(request, on.clock.monotonic() + 10)
                assert quote.route == (pool.address,)
                fees += await realised(on, pool, venue, quote)
                way = "to SOL" if request.mint_out == WSOL else "SOL to" if request.mint_in == WSOL else "SPL"
                counts[f"{request.mode} {way}"] += 1
            await venue.aclose()
        total = on.balances()
        total[WSOL] += fees
        assert total == before, "a token appeared, or vanished"
        assert on.compared >= counts.total(), "each simulation here was the node's, to the compute unit"
        say(f"{name}, seed {seed}: {counts.total()} swaps equal to their quotes: {dict(sorted(counts.items()))}")
        assert len(counts) == 6


async def realised(on: ProgramsLocalnet, pool: Pool, venue: AnyVenue, quote: Quote) -> int:
    """Settle a quote, which must be what both the chain's record and the wallet then show; lamports of fees."""
    held = on.held()
    dry = await on.simulate(venue, quote)
    status = await on.settle(await on.seal(venue, quote))
    assert isinstance(status, Landed), (pool, quote.request, status)
    fill = fill_of(status, quote.request)
    assert (fill.amount_in, fill.amount_out) == (quote.amount_in, quote.amount_out), (pool, quote)
    assert (dry.amount_in, dry.amount_out, dry.fee) == (fill.amount_in, fill.amount_out, fill.fee), (pool, quote)
    rest = on.held().since(held)
    rest[WSOL] = rest.get(WSOL, 0) + status.fee
    moved = {quote.request.mint_in: -quote.amount_in, quote.request.mint_out: quote.amount_out}
    assert {mint: amount for mint, amount in rest.items() if amount} == moved, (pool, quote)
    return status.fee


@pytest.mark.parametrize("name", KINDS)
async def test_all_pools_of_a_pair_are_found_and_the_best_one_is_taken(tmp_path: Path, name: str, seed: int) -> None:
    chance, taken = Random(seed), set[tuple[str, ...]]()
    async with programs_localnet(tmp_path / "ledger", seed) as on:
        searching = on.venue(KINDS[name])
        ours = [pool for pool in on.market.pools if pool.venue == name]
        alone = {pool.address: on.venue(KINDS[name], pools=(pool.address,)) for pool in ours}
        for pool in ours * 4:
            request = draw(pool, chance)
            best = await searching.quote(request, on.clock.monotonic() + 10)
            rivals = [one.address for one in ours if set(one.mints) == set(pool.mints)]
            each = [await alone[address].quote(request, on.clock.monotonic() + 10) for address in rivals]
            assert best.amount_out == max(quote.amount_out for quote in each)
            assert best.amount_in == min(quote.amount_in for quote in each)
            taken.add(best.route)
            await realised(on, pool, searching, best)
            on.skip(1)
        assert len(taken) >= len(ours) // 2, "hardly any pool but the first is ever the best"
        for venue in (searching, *alone.values()):
            await venue.aclose()
