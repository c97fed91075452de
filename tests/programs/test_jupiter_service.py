"""The whole service with Jupiter beside the other venues, on real programs. solana-py's client checks independently."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.lookup_table import TABLE_PROGRAM
from dexexec.settlement.solana.rpc import Localnet
from dexexec.venue import VenueContext
from dexexec_adapters.meteora.venue import Meteora, MeteoraOptions
from dexexec_adapters.raydium.venue import Raydium, RaydiumOptions
from dexexec_adapters.solana.keys import associated
from tests.programs import dumps
from tests.programs.independent_checks import fees, outside, quote_and_fill
from tests.programs.market import Market
from tests.programs.service import body, followed, post, read, service_on_programs, serving
from tests.programs.sizes import size
from tests.programs.tokens import TOKENS, key, token_account
from tests.support.jupiter_server import AUTHORITY, EVENTS, JupiterServer
from tests.support.localnet.rpc_chains import RecordingListener, open_chain
from tests.support.service.process import say

pytestmark = [dumps.needs("raydium", "meteora", "jupiter"), pytest.mark.timeout(900)]

ORDERS = 40
TABLE = Pubkey.new_unique()


def table(market: Market) -> Account:
    """A lookup table with what routes over this market name, as its program lays it out."""
    addresses = [EVENTS, AUTHORITY, *(token.mint for token in TOKENS)]
    addresses += [associated(AUTHORITY, token.mint) for token in TOKENS]
    addresses += [at for pool in market.pools for at in (pool.address, *pool.vaults)]
    header = (1).to_bytes(4, "little") + (2**64 - 1).to_bytes(8, "little") + bytes(44)
    data = header + b"".join(bytes(key(address)) for address in addresses)
    return Account(10**9, data, Pubkey.from_string(TABLE_PROGRAM))


@asynccontextmanager
async def routing(chain: Localnet, pools: Sequence[str]) -> AsyncIterator[str]:
    """A server of routes over Raydium's pools and these of Meteora's; its address."""
    venues = [
        kind(VenueContext(SystemClock(), TOKENS, chain, options, cluster="localnet"))
        for kind, options in (
            (Raydium, RaydiumOptions(cluster="localnet")),
            (Meteora, MeteoraOptions(cluster="localnet", pools=tuple(pools))),
        )
    ]
    server = JupiterServer(venues, hops=[token.mint for token in TOKENS], tables=[str(TABLE)])
    async with server.serving() as url:
        yield url
    for venue in venues:
        await venue.aclose()


@pytest.mark.gen_test(timeout=800)
async def test_orders_over_jupiter_realise_their_quotes(
    given: dict[str, str], tmp_path: Path, seed: int, runs: int
) -> None:
    held = [(key(associated(AUTHORITY, token.mint)), token_account(token.mint, AUTHORITY)) for token in TOKENS]
    tables = [(TABLE, table(Market(seed, int(time.time()))))]
    async with service_on_programs(given, tmp_path, seed, *held, *tables, programs=["jupiter"]) as on:
        wallet = await on.trader()
        chance = Random(seed)
        pools = [pool.address for pool in on.market.pools if pool.venue == "meteora" and pool.kind != "compounding"]
        async with (
            open_chain(Localnet([on.url], SystemClock(), RecordingListener())) as chain,
            routing(chain, pools) as api,
            outside(on.url, wallet.pubkey()) as independent,
        ):
            settings = {
                "DEXEXEC_ADAPTERS": "jupiter,raydium",
                "DEXEXEC_JUPITER_CLUSTER": "localnet",
                "DEXEXEC_JUPITER_API_URL": api,
                "DEXEXEC_JUPITER_REQUESTS_PER_MINUTE": "60000",
                "DEXEXEC_TRANSACTION_VERSION": "0",
            }
            async with serving(on, wallet, **settings) as (url, calls):
                before = await independent.totals(on.market)
                posted: list[str] = []
                for _ in range(ORDERS * runs):
                    pool = chance.choice(on.market.pools)
                    mint_in, mint_out = chance.choice([pool.mints, pool.mints[::-1]])
                    amount = size(pool, mint_in, chance)
                    request = SwapRequest(
                        mint_in=mint_in, mint_out=mint_out, amount=amount, mode=Mode.EXACT_IN, slippage_bps=50
                    )
                    posted.append(await post(calls, url, body(request, chance)))
                    await followed(url, posted[-1:], "confirmed")
                await followed(url, posted)
                orders = await read(calls, url, posted)
                tally = await independent.check(orders)
                hops = Counter(len(quote_and_fill(order)["route"]) for order in orders if order["venue"] == "jupiter")
                say(f"seed {seed}: equal {tally.equal}, moved {tally.moved}, {dict(tally.counts)}, hops {dict(hops)}")
                # A quote may be of the block before the last order's, which is a swap that came in between: the check
                # allows another amount only then, and within the order's bound.
                assert tally.equal + tally.moved == len(posted), tally
                assert tally.equal >= len(posted) * 9 // 10, tally
                assert set(hops) == {1, 2}
                moves = await independent.moves()
                after = await independent.totals(on.market)
                after[WSOL] += fees(moves.values())
                assert after == before, "a token appeared, or vanished"
