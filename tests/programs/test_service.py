"""The whole service on real programs, with both venues at once. solana-py's client checks independently."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from dexexec.domain.token import WSOL
from tests.programs import dumps
from tests.programs.independent_checks import Tally, fees, outside
from tests.programs.service import Order, body, followed, post, read, service_on_programs, serving
from tests.programs.sizes import draw
from tests.support.service.process import say

pytestmark = [dumps.needed, pytest.mark.timeout(900)]

SERIAL, AT_ONCE, BATCHES = 20, 60, 2


@pytest.mark.gen_test(timeout=800)
async def test_orders_in_sequence_realise_their_quotes_and_in_flight_all_that_were_not_overtaken(
    given: dict[str, str], tmp_path: Path, seed: int, runs: int
) -> None:
    async with service_on_programs(given, tmp_path, seed) as on:
        wallet, chance = await on.trader(), Random(seed)
        async with (
            outside(on.url, wallet.pubkey()) as independent,
            serving(on, wallet, DEXEXEC_CONCURRENCY="32") as (url, calls),
        ):
            before = await independent.totals(on.market)
            serial: list[str] = []
            for _ in range(SERIAL * runs):
                serial.append(await post(calls, url, body(draw(chance.choice(on.market.pools), chance), chance)))
                await followed(url, serial[-1:], "confirmed")
            await followed(url, serial)
            orders = await read(calls, url, serial)
            tally = await independent.check(orders)
            reported(f"seed {seed}, one after the other", tally)
            assert (tally.equal, tally.moved) == (len(serial), 0), tally

            crowd: list[str] = []
            for _ in range(BATCHES * runs):
                wanted = [body(draw(chance.choice(on.market.pools), chance), chance) for _ in range(AT_ONCE)]
                batch = [await post(calls, url, order) for order in wanted]
                await followed(url, batch, seconds=120)
                crowd += batch
            orders += await read(calls, url, crowd)
            both = await independent.check(orders)
            reported(f"seed {seed}, and with many at once", both)
            check_venues(orders)
            assert both.equal + both.moved >= len(orders) * 9 // 10, both
            moves = await independent.moves()
            after = await independent.totals(on.market)
            after[WSOL] += fees(moves.values())
            assert after == before, "a token appeared, or vanished"


def reported(what: str, tally: Tally) -> None:
    """For people."""
    say(f"{what}: equal {tally.equal}, moved {tally.moved}, {dict(sorted(tally.counts.items()))}")


def check_venues(orders: list[Order]) -> None:
    """Both venues quoted every order, and each won some, in each mode and direction."""
    for order in orders:
        assert {quote["venue"] for quote in order["quotes"]} == {"raydium", "meteora"}
    won = Counter((order["venue"], order["mode"]) for order in orders if order["status"] == "confirmed")
    assert len(won) == 4, won
