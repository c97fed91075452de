"""An order of a pair that is not in memory waits for one answer of a node: it is quoted, built and checked on it."""

import asyncio
import uuid
from pathlib import Path

from dexexec.bootstrap.networks import Networks, open_networks
from dexexec.config.settings import Settings
from dexexec.domain import base58
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens
from dexexec.localnet.blocks import Consensus
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.solana.checked_swap import CheckedSwap
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.warm.warm_chain import WarmChain
from dexexec.venue import Network, SolanaChain, Unsigned, VenueContext
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.scripted_node import forward_websocket, scripted_node
from tests.support.localnet.warm_setup import SLOT_SECONDS, SlotsClock
from tests.support.parts import running
from tests.support.waiting import until

SECONDS = 20.0
TOKEN = Token(base58.encode(bytes([60]) * 32), "COLD", 6)
TOKENS = Tokens((*KNOWN, TOKEN))


def venue_on(chain: SolanaChain, clock: SlotsClock) -> MockRaydium:
    options = MockOptions(settlement="localnet", latency_ms=0, slippage_ppm=0)
    return MockRaydium(VenueContext(clock, TOKENS, chain, options))


async def slots(net: InProcessLocalnet, clock: SlotsClock) -> None:
    while True:
        clock.passed += SLOT_SECONDS
        await net.advance(1)
        await asyncio.sleep(0.02)


async def built(venue: MockRaydium, mint: str, wallet: str, clock: SlotsClock) -> tuple[Quote, Unsigned]:
    request = SwapRequest(mint_in=WSOL, mint_out=mint, amount=10**7, mode=Mode.EXACT_IN, slippage_bps=100)
    quote = await venue.quote(request, clock.monotonic() + SECONDS)
    return quote, await venue.build(quote, wallet, await venue.context.chain.blockhash())


async def checked(networks: Networks, venue: MockRaydium, mint: str, clock: SlotsClock) -> CheckedSwap:
    """An order up to its signature: quoted, built, simulated, and passed by the guard."""
    checker = networks.simulators[Network.LOCALNET]
    chain = venue.context.chain
    assert isinstance(checker, SwapChecker)
    assert isinstance(chain, WarmChain)
    chain.expect(checker.payer, (WSOL, mint))
    quote, unsigned = await built(venue, mint, checker.payer, clock)
    deadline = clock.monotonic() + SECONDS
    return await checker.check(venue, quote, unsigned, deadline, AttemptId(uuid.uuid4(), 1))


async def test_a_cold_order_waits_for_one_round_trip(tmp_path: Path) -> None:
    clock = SlotsClock()
    observer = Observer(make_logger("critical"))
    async with (
        run_localnet(tmp_path / "net", consensus=Consensus.ALPENGLOW) as net,
        scripted_node(net.url) as node,
    ):
        node.on_message = forward_websocket(net.url)
        async with open_networks(
            Settings(_env_file=None, data_dir=tmp_path, simulation_checks=0),
            [Network.LOCALNET],
            ledger=MemoryLedger(clock),
            localnet_url=node.url,
            clock=clock,
            observer=observer,
        ) as networks:
            chain, unwatched = networks.chains[Network.LOCALNET], networks.nodes[Network.LOCALNET]
            assert isinstance(chain, WarmChain)
            assert isinstance(unwatched, SolanaChain)
            venue = venue_on(chain, clock)
            async with running(*(work() for work in networks.background)):
                async with running(slots(net, clock)):
                    # The cold pair has vaults, and the wallet an account for its token; the other pair gets warm.
                    await built(venue_on(unwatched, clock), TOKEN.mint, networks.wallets[Network.LOCALNET], clock)
                    async with asyncio.timeout(SECONDS):
                        while not (await checked(networks, venue, USDC, clock)).prepared.local:
                            await asyncio.sleep(0.02)
                first, others = asyncio.Event(), asyncio.Event()
                node.gate = first
                node.requests.clear()
                order = asyncio.create_task(checked(networks, venue, TOKEN.mint, clock))
                try:
                    await until(lambda: node.count("getRecentPrioritizationFees"), SECONDS)
                    await until(lambda: any(TOKEN.mint in str(parameters) for _, parameters in node.requests), SECONDS)
                    # From here on no request is answered that was not sent before.
                    node.gate = others
                    first.set()
                    async with asyncio.timeout(SECONDS):
                        swap = await order
                finally:
                    first.set()
                    others.set()
                    order.cancel()
                assert swap.prepared.local
                assert swap.priority_fee.age_ms is not None
                assert node.count("simulateTransaction") == 0
