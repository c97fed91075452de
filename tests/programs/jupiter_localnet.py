"""Jupiter's program on a localnet with the pools of the other venues, and the server that makes its routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from dexexec.settlement.solana.compiler import MessageCompiler
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.table_reader import TableReader
from dexexec.settlement.solana.wallet import Wallet
from dexexec_adapters.jupiter.venue import Jupiter
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.solana.keys import associated
from dexexec_adapters.solana.spl import ASSOCIATED_TOKEN, COMPUTE_BUDGET, SYSTEM, TOKEN
from tests.programs import dumps
from tests.programs.localnet import ProgramsLocalnet, programs_localnet
from tests.programs.market import fund
from tests.programs.tokens import TOKENS, key
from tests.support.jupiter_server import AUTHORITY, EVENTS, PROGRAM, JupiterServer
from tests.support.localnet.local_simulation import SimulatingLocalnet
from tests.support.localnet.lookup_tables import make_table
from tests.support.localnet.spl_tokens import open_account
from tests.support.sealers import solana_sealer


@dataclass
class JupiterLocalnet:
    """A market with Jupiter's program, its API, and a wallet that trades through them."""

    on: ProgramsLocalnet
    server: JupiterServer
    url: str

    def venue(self, **options: Any) -> Jupiter:
        """The venue, on this API."""
        found = self.on.venue(Jupiter, api_url=self.url, requests_per_minute=60_000, **options)
        assert isinstance(found, Jupiter)
        return found


@asynccontextmanager
async def jupiter_localnet(folder: Path, seed: int) -> AsyncIterator[JupiterLocalnet]:
    """A market by `seed`, whose routes need lookup tables if they have two hops."""
    async with programs_localnet(folder, seed) as on:
        on.net.ledger.add_programs([(key(PROGRAM), dumps.elf(PROGRAM))])
        if isinstance(on.chain, SimulatingLocalnet):
            # What uses lookup tables is simulated by a node.
            on.chain.local = None
        creator = on.market.creator
        await on.net.land([open_account(creator, key(AUTHORITY), key(token.mint)) for token in TOKENS], creator)
        wallet = Keypair()
        await fund(on.net.url, wallet.pubkey())
        rules = GuardRules(max_priority_fee=0, pins=Pins({"jupiter": frozenset({PROGRAM})}))
        compiler = MessageCompiler(tables=TableReader(on.chain))
        sealer = solana_sealer(on.chain, Wallet(bytes(wallet)[:32]), rules, on.clock, compiler=compiler)
        tables = [await make_table(on.net, creator, part) for part in _parts(on)]
        on.pass_slots()
        # Not every build of Meteora's program has pools that compound.
        pools = [pool.address for pool in on.market.pools if pool.venue == "meteora" and pool.kind != "compounding"]
        venues = [on.venue(Raydium), on.venue(Meteora, pools=tuple(pools))]
        server = JupiterServer(venues, hops=[token.mint for token in TOKENS], tables=tables)
        async with server.serving() as url:
            yield JupiterLocalnet(replace(on, sealer=sealer), server, url)
        for venue in venues:
            await venue.aclose()


def _parts(on: ProgramsLocalnet) -> list[list[str]]:
    """What tables have: the accounts that all routes share, and those of the pools."""
    shared = [EVENTS, AUTHORITY, TOKEN, SYSTEM, ASSOCIATED_TOKEN, COMPUTE_BUDGET]
    shared += [at for token in TOKENS for at in (token.mint, associated(AUTHORITY, token.mint))]
    pools = [at for pool in on.market.pools for at in (pool.address, *pool.vaults)]
    return [shared, pools]
