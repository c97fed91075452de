"""The venue `jupiter` on recorded pools, with the server that routes over them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dexexec.clock import Clock
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.token import KNOWN, Tokens
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.testing.harness import PATIENCE, ChainSetup, Condition, Harness
from dexexec.venue import VenueContext
from dexexec_adapters.jupiter.options import JupiterOptions
from dexexec_adapters.jupiter.venue import Jupiter
from tests.support import meteora_accounts as at
from tests.support.jupiter_server import JupiterServer
from tests.support.raydium_accounts import RecordedChain

KEY = "a key of jupiter's portal"


def venue(chain: RecordedChain, url: str, clock: Clock | None = None, **options: Any) -> Jupiter:
    """The venue on a recorded chain of mainnet."""
    made = JupiterOptions.model_validate({"api_url": url, "requests_per_minute": 60_000, **options})
    return Jupiter(VenueContext(clock or ManualClock(), Tokens(KNOWN), chain, made, "mainnet-beta"))


@dataclass
class JupiterSetup:
    """The venue, its chain, and the server that answers it."""

    venue: Jupiter
    chain: RecordedChain
    server: JupiterServer
    clock: ManualClock


@asynccontextmanager
async def jupiter(*pools: bytes, tables: Sequence[str] = (), **options: Any) -> AsyncIterator[JupiterSetup]:
    """A venue whose API routes over these pools of Meteora's."""
    clock = ManualClock()
    chain = at.chain_of(*(pools or (at.pool_of(data=at.BOTH_FEES),)))
    pools_venue = at.meteora(chain, clock)
    server = JupiterServer([pools_venue], tables=tables)
    async with server.serving() as url:
        made = venue(chain, url, clock, **options)
        yield JupiterSetup(made, chain, server, clock)
        await made.aclose()
        await pools_venue.aclose()


class PatientJupiter(Jupiter):
    """The venue where a busy machine may take longer than the contract's deadline of a second to answer over HTTP."""

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """As the venue. A deadline that has passed stays one."""
        is_left = deadline > self.context.clock.monotonic()
        return await super().quote(request, deadline + PATIENCE if is_left else deadline)


@dataclass(frozen=True)
class JupiterHarness(Harness):
    """The contract's harness: each run has a server over recorded pools."""

    found: dict[str, str] = field(default_factory=dict)
    """Where the server of the run is."""

    @asynccontextmanager
    async def chain_setup(self, condition: Condition) -> AsyncIterator[ChainSetup]:
        """A fresh chain, with a server."""
        clock = ManualClock()
        chain = at.chain_of(at.pool_of(data=at.BOTH_FEES))
        pools = at.meteora(chain, clock)
        async with JupiterServer([pools]).serving() as url:
            self.found["url"] = url
            yield ChainSetup(
                clock=clock, chain=chain, sealer=SimulatedSealer(SimulatedSigner()), cluster="mainnet-beta"
            )
        await pools.aclose()

    def options(self, condition: Condition) -> Any:
        """The venue's options, with the server of the run."""
        changes = {"api_url": self.found["url"], "requests_per_minute": 60_000}
        return super().options(condition).model_copy(update=changes)
