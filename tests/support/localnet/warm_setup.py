"""Accounts in memory over a localnet whose slots a test makes, for tests of what a node may do wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from solders.keypair import Keypair

from dexexec.clock import SystemClock
from dexexec.domain.pace import Finality, Pace
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.warm.account_watch import AccountWatch
from tests.support.localnet.in_process import InProcessLocalnet, pay, run_localnet
from tests.support.localnet.rpc_chains import LONG_TIMEOUTS, RecordingListener
from tests.support.localnet.scripted_node import ScriptedNode, forward_websocket, scripted_node
from tests.support.parts import running

SLOT_SECONDS = 0.2
STALE_SLOTS = 20
CONFIRMED_AFTER = 3
"""Slots after which a payment is confirmed with either consensus."""
PAID = 1_000
"""Lamports of one payment from `left` to `right`."""


class SlotsClock(SystemClock):
    """Its monotonic time passes with the slots that a test makes, so that a slow machine makes nothing old."""

    def __init__(self) -> None:
        self.passed = 1_000.0

    def monotonic(self) -> float:
        return self.passed


class PacedRpcChain(RpcChain):
    """A chain whose slots are as long as `SlotsClock` has them."""

    @property
    def pace(self) -> Pace:
        return Pace(SLOT_SECONDS, Finality.DELAYED, measured=True)


@dataclass
class RecordingWatchListener(RecordingListener):
    """Records what an operator would be shown of the accounts in memory as well."""

    reads: list[bool] = field(default_factory=list)

    def warm_state_interrupted(self, node: str, why: str) -> None:
        self.lines.append(("interrupted", node, why))

    def warm_state_recovered(self, node: str) -> None:
        self.lines.append(("warm again", node))

    def account_subscription_refused(self, node: str, why: str) -> None:
        self.lines.append(("refused", node, why))

    def accounts_read(self, *, from_memory: bool) -> None:
        self.reads.append(from_memory)


@dataclass(kw_only=True)
class WarmSetup:
    """Two accounts whose lamports have a constant sum, and a watch that has them in memory. `node` is a node between
    the watch and the localnet, which records requests."""

    net: InProcessLocalnet
    node: ScriptedNode
    chain: RpcChain
    watch: AccountWatch
    clock: SlotsClock
    listener: RecordingWatchListener
    payer: Keypair
    left: Keypair
    right: Keypair

    @property
    def addresses(self) -> tuple[str, str]:
        return str(self.left.pubkey()), str(self.right.pubkey())

    async def pay(self) -> None:
        """Moves lamports from left to right, in the newest block."""
        await self.net.land([pay(self.left, self.right.pubkey(), PAID)], self.payer, self.left)

    async def slot(self) -> None:
        """One slot passes, and the watch has time to see it."""
        self.clock.passed += SLOT_SECONDS
        await self.net.advance(1)
        await asyncio.sleep(0.005)

    def silence(self, slots: float) -> None:
        """The time of so many slots passes without any."""
        self.clock.passed += slots * SLOT_SECONDS

    def lamports(self) -> tuple[int, int] | None:
        """What is in memory; None if a node has to be read."""
        found = self.watch.snapshot(self.addresses)
        if found is None:
            return None
        left, right = (account.lamports if account else 0 for account in found.found)
        return left, right

    async def read(self) -> tuple[int, int]:
        """What an order gets."""
        found = await self.watch.accounts(self.addresses)
        left, right = (account.lamports if account else 0 for account in found.found)
        return left, right

    async def true(self) -> tuple[int, int]:
        """What the localnet has confirmed."""
        options = {"encoding": "base64", "commitment": "confirmed"}
        found = (await self.net.rpc("getMultipleAccounts", list(self.addresses), options))["value"]
        left, right = (account["lamports"] if account else 0 for account in found)
        return left, right

    async def warm(self) -> tuple[int, int]:
        """Lets slots pass until the accounts are in memory, as they are on chain."""
        await self.read()
        for _ in range(CONFIRMED_AFTER):
            await self.slot()
        async with asyncio.timeout(20):
            while self.lamports() != await self.true():
                await self.slot()
        found = self.lamports()
        assert found is not None
        return found


@asynccontextmanager
async def warm_setup(
    folder: Path,
    *,
    consensus: Consensus = Consensus.ALPENGLOW,
    limit: int = 100,
    stale_slots: int = STALE_SLOTS,
) -> AsyncIterator[WarmSetup]:
    """A watch whose accounts are warm."""
    clock = SlotsClock()
    listener = RecordingWatchListener()
    async with run_localnet(folder, consensus=consensus) as net, scripted_node(net.url) as node:
        node.on_message = forward_websocket(net.url)
        payer, left, right = [await net.funded() for _ in range(3)]
        await net.advance(40)
        chain = PacedRpcChain([node.url], clock, listener, LONG_TIMEOUTS)
        watch = AccountWatch(chain, clock, listener, limit=limit, stale_slots=stale_slots)
        try:
            async with running(chain.run(), watch.run()):
                setup = WarmSetup(
                    net=net,
                    node=node,
                    chain=chain,
                    watch=watch,
                    clock=clock,
                    listener=listener,
                    payer=payer,
                    left=left,
                    right=right,
                )
                await setup.warm()
                yield setup
        finally:
            await chain.aclose()
