"""The rules of the adapter contract that send swaps, on real programs; the others are tried on recorded pools."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from solders.keypair import Keypair

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.swap import Accepted, SignedSwap, SubmitAnswer
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.rpc import Localnet
from dexexec.testing import harness
from dexexec.testing.contract import CHECKS, Check
from dexexec.testing.harness import Condition, Harness
from dexexec.venue import AnyVenue
from dexexec.venues.registry import VenueClass
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.orca.venue import Orca
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.raydium_amm.venue import RaydiumAmm
from dexexec_adapters.raydium_clmm.venue import RaydiumClmm
from tests.contract.test_venues import SENDING
from tests.programs import dumps, made_pools
from tests.programs.conftest import RUNS
from tests.programs.localnet import ProgramsLocalnet, flowing
from tests.programs.market import fund
from tests.programs.tokens import PEPE, TOKENS, WORTH

MADE: tuple[VenueClass, ...] = (RaydiumAmm, RaydiumClmm, MeteoraDlmm, Orca)
"""The venues whose pools `made_pools.py` makes."""
ALL: tuple[VenueClass, ...] = (Raydium, Meteora, *MADE)
VENUES = [pytest.param(venue, marks=dumps.needs(*dumps.MARKET, venue.name), id=venue.name) for venue in ALL]
CLUSTERS = {f"{venue.options_prefix}CLUSTER": "localnet" for venue in ALL}
MOVES = [50, 1_000, 20_000]
"""USDC worth of a third party's swap just before: from next to nothing to percents of a pool."""


class MovingChain(Localnet):
    """A localnet on which a third party swaps the same way just before each of our transactions lands."""

    mover: "Mover | None" = None

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """After the other one's swap."""
        if self.mover is not None:
            await self.mover.swap()
        return await super().submit(signed)


@dataclass
class Mover:
    """Swaps with a wallet of its own, ever other amounts."""

    on: ProgramsLocalnet
    venue: AnyVenue
    pair: tuple[str, str]
    swaps: int = 0

    async def swap(self) -> None:
        """Once, landed when this returns."""
        amount = MOVES[self.swaps % len(MOVES)] * 10**12 // WORTH[self.pair[0]]
        self.swaps += 1
        request = SwapRequest(
            mint_in=self.pair[0], mint_out=self.pair[1], amount=amount, mode=Mode.EXACT_IN, slippage_bps=5_000
        )
        quote = await self.venue.quote(request, self.on.clock.monotonic() + 10)
        signed = await self.on.seal(self.venue, quote)
        answer = await Localnet.submit(self.on.chain, signed)
        assert isinstance(answer, Accepted), answer


@dataclass(frozen=True)
class ProgramHarness(Harness):
    """Each environment has its own localnet, below `folder`, with a market from one seed."""

    folder: Path = field(default=Path())
    seed: int = 1

    @asynccontextmanager
    async def chain_setup(self, condition: Condition) -> AsyncIterator[harness.ChainSetup]:
        """A fresh market; prices move by a third party's swaps."""
        pair = self.pair or self.default_pair()
        more = made_pools.made_pools(self.seed, self.venue_class.name) if self.venue_class in MADE else None
        async with flowing(self.folder / uuid.uuid4().hex, self.seed, pair, MovingChain, more) as on:
            setup = harness.ChainSetup(
                clock=on.clock, chain=on.chain, sealer=on.sealer, cluster="localnet", settles=True
            )
            if condition is not Condition.MOVING:
                yield setup
                return
            wallet = Keypair()
            await fund(on.net.url, wallet.pubkey())
            on.pass_slots()
            venue = on.venue(self.venue_class)
            assert isinstance(on.chain, MovingChain)
            on.chain.mover = Mover(on.with_wallet(wallet), venue, pair)
            yield setup
            assert on.chain.mover.swaps > 0
            await venue.aclose()


@pytest.mark.parametrize("check", [one for one in CHECKS if one.rule in SENDING], ids=lambda check: check.rule)
@pytest.mark.parametrize("venue_class", VENUES)
@pytest.mark.parametrize("pair", [(WSOL, USDC), (USDC, WSOL), (PEPE.mint, USDC)], ids=["sell", "buy", "tokens"])
async def test_the_venue_keeps_the_rule_on_its_program(
    tmp_path: Path, check: Check, venue_class: VenueClass, pair: tuple[str, str], seed: int, runs: int
) -> None:
    if runs == 1 and pair != (WSOL, USDC):
        pytest.skip(f"other pairs are for longer runs: set {RUNS} to more than 1")
    await check(ProgramHarness(venue_class, CLUSTERS, TOKENS, pair, folder=tmp_path, seed=seed))
