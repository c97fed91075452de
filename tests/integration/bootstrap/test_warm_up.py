"""The configured pair and the wallet become warm by themselves; then a quote needs no request."""

import asyncio
from pathlib import Path
from typing import Any

from dexexec.bootstrap.networks import open_networks
from dexexec.bootstrap.warm_up import WarmUp
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.localnet.blocks import Consensus
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.rehearsal import Rehearsal
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.venue import Network, SolanaChain, Unreachable, VenueContext
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions
from tests.support.localnet.in_process import run_localnet
from tests.support.localnet.scripted_node import forward_websocket, scripted_node
from tests.support.parts import running

REQUEST = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**7, mode=Mode.EXACT_IN, slippage_bps=100)


def mock_venue(chain: Any, **options: Any) -> MockRaydium:
    """A venue on the localnet without delays."""
    fixed: dict[str, Any] = {"settlement": "localnet", "latency_ms": 0, "slippage_ppm": 0}
    return MockRaydium(VenueContext(SystemClock(), Tokens(KNOWN), chain, MockOptions(**(fixed | options))))


class BrokenVenue(MockRaydium):
    """A venue that cannot be warmed."""

    async def warm(self, pair: tuple[str, str]) -> None:
        raise Unreachable("no node")


async def quoted(venue: MockRaydium) -> Quote:
    return await venue.quote(REQUEST, SystemClock().monotonic() + 10)


async def test_the_configured_pair_and_the_wallet_are_warm_before_the_first_order(tmp_path: Path) -> None:
    clock = SystemClock()
    observer = Observer(make_logger("critical"))
    async with (
        run_localnet(tmp_path / "net", consensus=Consensus.ALPENGLOW) as net,
        scripted_node(net.url) as node,
    ):
        node.on_message = forward_websocket(net.url)
        async with open_networks(
            Settings(_env_file=None, data_dir=tmp_path),
            [Network.LOCALNET],
            ledger=MemoryLedger(clock),
            localnet_url=node.url,
            clock=clock,
            observer=observer,
        ) as networks:
            chain = networks.chains[Network.LOCALNET]
            assert isinstance(chain, SolanaChain)
            venue = mock_venue(chain)
            broken = BrokenVenue(venue.context)
            watch = networks.watches[Network.LOCALNET]
            wallet = networks.wallets[Network.LOCALNET]
            rehearsal = Rehearsal(networks.chains, networks.simulators, Tokens(KNOWN), clock, slippage_bps=50)
            warm_up = WarmUp(
                [broken, venue], networks, pair=(WSOL, USDC), rehearsal=rehearsal, clock=clock, observer=observer
            )
            async with running(*(work() for work in networks.background), warm_up.run()):
                wanted = (wallet, associated_token_account(wallet, USDC), associated_token_account(wallet, WSOL))
                async with asyncio.timeout(20):
                    while watch.snapshot(wanted) is None or not venue.pool_accounts():
                        await net.advance(1)
                        await asyncio.sleep(0.01)
                    [(address, accounts)] = venue.pool_accounts().items()
                    # The vaults are there and funded, and are in memory with what they hold.
                    while watch.pool(address, accounts).cold or not await net.token_balance(address, USDC):
                        await net.advance(1)
                        await asyncio.sleep(0.01)
                before = watch.report().from_node
                quote = await quoted(venue)
                assert watch.report().from_node == before, "no node was read for it"
                assert quote.context_slot == watch.report().slot
                assert watch.report().from_memory >= 1
