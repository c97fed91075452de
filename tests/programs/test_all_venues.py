"""The whole service on all venues' real programs at once, 500 orders. solana-py's client checks independently."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from dexexec.domain.token import WSOL
from tests.programs import dumps, made_pools
from tests.programs.independent_checks import Tally, fees, outside
from tests.programs.service import Order, body, followed, post, read, service_on_programs, serving
from tests.programs.sizes import draw
from tests.support.service.process import say

VENUES = (*dumps.MARKET, *made_pools.VENUES)
pytestmark = [dumps.needs(*VENUES), pytest.mark.timeout(1_800)]

SERIAL, AT_ONCE, BATCHES = 100, 50, 8
ROUTES = ("split", "hops")
CLUSTERS = {f"DEXEXEC_{name.upper().replace('-', '_')}_CLUSTER": "localnet" for name in VENUES}
SETTINGS = {**CLUSTERS, "DEXEXEC_ADAPTERS": ",".join(VENUES), "DEXEXEC_CONCURRENCY": "32"}


@pytest.mark.gen_test(timeout=1_700)
@pytest.mark.parametrize("routes", ["single", "all"])
async def test_500_orders_over_all_venues_realise_their_quotes_unless_another_swap_came_in_between(
    given: dict[str, str], tmp_path: Path, routes: str, seed: int, runs: int
) -> None:
    async with service_on_programs(given, tmp_path, seed, more=made_pools.made_pools(seed)) as on:
        wallet, chance = await on.trader(), Random(seed)
        async with (
            outside(on.url, wallet.pubkey()) as independent,
            serving(on, wallet, **SETTINGS, DEXEXEC_ROUTES=routes) as (url, calls),
        ):
            before = await independent.totals(on.market)
            serial: list[str] = []
            for _ in range(SERIAL * runs):
                serial.append(await post(calls, url, body(draw(chance.choice(on.market.pools), chance), chance)))
                await followed(url, serial[-1:], "confirmed")
            await followed(url, serial)
            orders = await read(calls, url, serial)
            alone = await independent.check(orders)
            reported(f"routes {routes}, seed {seed}, one after the other", alone)
            # A quote may be of the slot before that of the last order's swap. Then that swap is what came in between.
            assert alone.equal + alone.moved == len(serial)
            # With routes over several pools, more orders share one with the order before.
            assert alone.equal >= len(serial) * (9 if routes == "single" else 7) // 10, alone

            for _ in range(BATCHES * runs):
                wanted = [body(draw(chance.choice(on.market.pools), chance), chance) for _ in range(AT_ONCE)]
                batch = [await post(calls, url, order) for order in wanted]
                await followed(url, batch, seconds=120)
                orders += await read(calls, url, batch)
            # The check fails for an amount that differs although no other swap of the same pool came in between.
            both = await independent.check(orders)
            reported(f"routes {routes}, seed {seed}, and with many at once", both)
            assert both.equal + both.moved >= len(orders) * 9 // 10, both
            check_venues(orders, {*VENUES, *(ROUTES if routes == "all" else ())})
            moves = await independent.moves()
            after = await independent.totals(on.market)
            after[WSOL] += fees(moves.values())
            assert after == before, "a token appeared, or vanished"


def reported(what: str, tally: Tally) -> None:
    """For people."""
    say(f"{what}: equal {tally.equal}, moved {tally.moved}, {dict(sorted(tally.counts.items()))}")


def check_venues(orders: list[Order], expected: set[str]) -> None:
    """All venues quoted, and each won some."""
    quoted = Counter(quote["venue"] for order in orders for quote in order["quotes"])
    assert quoted.keys() == expected
    won = Counter(order["venue"] for order in orders if order["status"] == "confirmed")
    say(f"quotes {dict(quoted)}, won {dict(won)}")
    assert won.keys() == expected
