"""How much swaps over several pools gain over the best single pool: random orders in a market of all venues' pools.

    DEXEXEC_PROGRAM_DUMPS=~/dumps uv run python -m tests.programs.route_gains --orders 1000 --seed 1

Nothing is executed. Sizes are from dust to a twentieth of a pool's reserve, each order of magnitude as likely."""

import argparse
import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random

from dexexec.domain.quote import BPS, Mode, Quote, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import AnyVenue, NoOptions, VenueContext, VenueError
from dexexec.venues.ranking import net_amount, rank
from dexexec.venues.registry import VenueClass
from dexexec.venues.routes.venue import Hops, RouteRules, Split
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.raydium_amm.venue import RaydiumAmm
from dexexec_adapters.raydium_clmm.venue import RaydiumClmm
from tests.programs import dumps, made_pools
from tests.programs.localnet import programs_localnet
from tests.programs.sizes import draw
from tests.support.service.process import say

VENUES: dict[str, VenueClass] = {kind.name: kind for kind in (Raydium, RaydiumAmm, RaydiumClmm, Meteora, MeteoraDlmm)}
LEG_LAMPORTS = 120
"""Of priority fee for a further pool: 120,000 compute units at 1,000 millionths of a lamport, as on a quiet cluster."""
TOLERANCE_BPS = 5


@dataclass
class Gains:
    """What the best route nets beside the best single pool, in bps, where it nets more."""

    of_all: list[float] = field(default_factory=list)
    by_kind: dict[str, list[float]] = field(default_factory=dict)
    best: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """For people."""
        gaining = [gain for gain in self.of_all if gain > 0]
        return [
            f"best of {len(self.of_all)} orders: {dict(self.best.most_common())}",
            f"several pools net more in {len(gaining)} of them: {_figures(gaining)}",
            *(f"{kind} is best in {len(gains)}: {_figures(gains)}" for kind, gains in sorted(self.by_kind.items())),
            f"over all orders: {sum(self.of_all) / len(self.of_all):.2f} bps in the mean",
        ]


async def measure(orders: int, seed: int, folder: Path) -> Gains:
    """Quote `orders` random requests at the venues and over several pools."""
    chance, gains = Random(seed), Gains()
    async with programs_localnet(folder, seed, more=made_pools.made_pools(seed)) as on:
        venues = [on.venue(kind) for kind in VENUES.values()]
        rules = RouteRules(hop_mints=(WSOL, USDC), hop_tolerance_bps=TOLERANCE_BPS, leg_lamports=LEG_LAMPORTS)
        context = VenueContext(on.clock, venues[0].context.tokens, on.chain, NoOptions(), "localnet")
        routes: list[AnyVenue] = [Split(context, venues, rules), Hops(context, venues, rules)]
        for _ in range(orders):
            request = draw(chance.choice(on.market.pools), chance)
            single = [quote for venue in venues if (quote := await quoted(venue, request, on.clock.monotonic()))]
            several = [quote for venue in routes if (quote := await quoted(venue, request, on.clock.monotonic()))]
            if single:
                compare(gains, rank(single)[0], rank([*single, *several])[0])
        for venue in venues:
            await venue.aclose()
    return gains


async def quoted(venue: AnyVenue, request: SwapRequest, now: float) -> Quote | None:
    """The venue's quote, if it has one."""
    try:
        return await venue.quote(request, now + 60)
    except VenueError:
        return None


def compare(gains: Gains, single: Quote, best: Quote) -> None:
    """Count an order."""
    gains.best[best.venue] += 1
    ratio = Fraction(net_amount(best), net_amount(single))
    gain = float((ratio - 1 if best.request.mode is Mode.EXACT_IN else 1 - ratio) * BPS)
    gains.of_all.append(gain)
    if best.legs:
        gains.by_kind.setdefault(best.venue, []).append(gain)


def _figures(gains: list[float]) -> str:
    middle, high = (sorted(gains)[int(share * (len(gains) - 1))] if gains else 0 for share in (0.5, 0.9))
    return f"{sum(gains) / max(1, len(gains)):.2f} bps in the mean, {middle:.2f} in the median, {high:.2f} at 90 %"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if dumps.missing(*VENUES):
        parser.error(dumps.missing(*VENUES))
    with tempfile.TemporaryDirectory() as folder:
        gains = asyncio.run(measure(options.orders, options.seed, Path(folder) / "ledger"))
    say("\n".join([f"seed {options.seed}", *gains.lines()]))


if __name__ == "__main__":
    main()
