"""Settlement on a localnet in this process, with manual time and a log of all requests.

Blocks are made only while settlement pauses between two lookups, and when a test makes one.
"""

import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from dexexec.domain.bound import Bound
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Instruction
from dexexec.domain.swap import Blockhash, SignedSwap, SubmitAnswer, SwapStatus
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.localnet.blocks import DEPTHS, Commitment, Consensus
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.rpc import Localnet
from dexexec.settlement.solana.rpc.node_pool import NodePoolOptions
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.spending import nothing_reserved
from dexexec.settlement.solana.transaction import assemble, associated_token_account, compile_message
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import Network, VenueContext
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions
from tests.support.attempts import an_attempt
from tests.support.failpoints import StallingFailpoints
from tests.support.localnet.in_process import InProcessLocalnet, encoded, run_localnet, set_faults
from tests.support.localnet.modes import in_turn
from tests.support.localnet.request_log import RequestLog
from tests.support.localnet.rpc_chains import LONG_TIMEOUTS, RecordingListener, open_chain
from tests.support.localnet.slot_clocks import ScriptedClock
from tests.support.sealers import client_sealers, solana_sealer
from tests.support.swap_transactions import call, fixed

SELL_SOL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
BUY_SOL = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=2_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
FINAL = 32
"""Blocks on top of one that is final."""
VALID = 150
"""Blocks on top of one whose blockhash may still be used."""
EXPIRED = VALID + FINAL + 1
"""Blocks after which what was signed before them is expired, and that is final."""
UNLIMITED = 10**6
"""Requests, or transactions: more than there are."""
MAX_PRICE = 1_000_000
"""Micro-lamports per compute unit, the cap."""


@dataclass
class ChainWithoutNotifications:
    """The chain without notifications and without a pace: waiting for a swap uses only the clock, which the test
    controls."""

    chain: Localnet

    async def blockhash(self) -> Blockhash:
        """As `Chain`."""
        return await self.chain.blockhash()

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """As `Chain`."""
        return await self.chain.submit(signed)

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """As `Chain`."""
        return await self.chain.status(signatures, history=history)


class LateReservations:
    """What open attempts may take from a wallet, by a record that is opened after the sealer."""

    def __init__(self) -> None:
        self.source: Callable[[str, int], Awaitable[Mapping[str, int]]] = nothing_reserved

    async def __call__(self, wallet: str, slot: int) -> Mapping[str, int]:
        """As `Store.reserved`."""
        return await self.source(wallet, slot)


@dataclass(kw_only=True)
class SettlementSetup:
    """A localnet with a funded wallet and a venue with full vaults, all of it finalized."""

    net: InProcessLocalnet
    chain: Localnet
    clock: ScriptedClock
    failpoints: StallingFailpoints
    request_log: RequestLog
    wallet: Wallet
    sealer: SolanaSealer
    venue: MockRaydium
    settlement: Settlement
    listener: RecordingListener
    observer: Observer
    reservations: LateReservations

    @property
    def pool(self) -> str:
        """The signer of the venue's vaults."""
        vaults = self.venue._vaults
        assert vaults is not None
        return vaults.pool(self.venue.market.pair((SELL_SOL.mint_in, SELL_SOL.mint_out))).address

    # Consensus

    @property
    def final(self) -> int:
        """Blocks on top of one that is final."""
        return DEPTHS[self.net.ledger.blocks.consensus][Commitment.FINALIZED]

    @property
    def confirmed(self) -> int:
        """Blocks on top of one that is confirmed."""
        return DEPTHS[self.net.ledger.blocks.consensus][Commitment.CONFIRMED]

    @property
    def recorded(self) -> str:
        """The outcome with which a swap that landed is recorded first: it is final at once, or not."""
        return "confirmed" if self.final > self.confirmed else "landed"

    # Settling

    async def signed(self, request: SwapRequest = SELL_SOL) -> SignedSwap:
        """A swap that is ready to be recorded and sent."""
        quote = await self.venue.quote(request, self.clock.monotonic() + 5)
        return (await self.settlement.prepare(self.venue, quote, math.inf, an_attempt(), bound=Bound.of(quote))).signed

    async def settle(
        self, signed: SignedSwap, request: SwapRequest = SELL_SOL, *, resumed: bool = False
    ) -> SettlementResult:
        """Settles a swap until its outcome is proven."""
        return await self.settlement.settle(
            PendingAttempt(signed=signed, request=request, deadline=math.inf, resumed=resumed, venue=self.venue),
            lambda: True,
        )

    # Nodes

    async def advance(self, slots: int) -> None:
        """Makes slots."""
        for _ in range(slots):
            self.net.ledger.tick()

    async def set_faults(self, node: str = "", /, **given: Any) -> None:
        """Sets the faults of a node; without faults it behaves again."""
        await set_faults(self.net.url + node, **given)

    async def fork(self, blocks: int) -> None:
        """Takes back the newest blocks."""
        await self.net.rpc("localnet_fork", blocks)

    # What the chain has

    async def statuses(self, signatures: Sequence[str]) -> list[Any]:
        """The statuses from the first node's whole history."""
        statuses = await self.net.rpc("getSignatureStatuses", list(signatures), {"searchTransactionHistory": True})
        return list(statuses["value"])

    async def transaction(self, signature: str) -> Any:
        """A transaction on the chain."""
        options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 1, "encoding": "json"}
        return await self.net.rpc("getTransaction", signature, options)

    async def swaps(self, *, failed: bool = False) -> list[str]:
        """The signatures of the wallet's swaps on the chain that succeeded (or failed), newest first. A swap is what
        both the wallet and the venue have signed."""
        of_wallet = await self.net.rpc("getSignaturesForAddress", self.wallet.address, {"commitment": "confirmed"})
        swaps = []
        for entry in of_wallet:
            if (entry["err"] is not None) is failed:
                message = (await self.transaction(entry["signature"]))["transaction"]["message"]
                signers = message["accountKeys"][: message["header"]["numRequiredSignatures"]]
                swaps += [entry["signature"]] if {self.wallet.address, self.pool} <= set(signers) else []
        return swaps

    async def holds(self, mint: str) -> int:
        """Base units of a mint in the wallet, as processed."""
        return await self.net.token_balance(self.wallet.address, mint)

    async def lamports(self) -> int:
        """Lamports of the wallet, as processed."""
        return await self.net.balance(Pubkey.from_string(self.wallet.address))

    # What others do

    async def burn_dollars(self) -> None:
        """Burns all USDC of the wallet, in the newest block."""
        ours = associated_token_account(self.wallet.address, USDC)
        amount = (await self.holds(USDC)).to_bytes(8, "little")
        wallet = self.wallet.address
        await self.land(call(Program.TOKEN, b"\x08" + amount, ours, USDC, wallet, signers=[wallet]))

    async def land(self, *steps: Instruction) -> None:
        """Lands another transaction of the wallet, without the engine."""
        latest = (await self.net.rpc("getLatestBlockhash", {"commitment": "processed"}))["value"]["blockhash"]
        message = compile_message(self.wallet.address, steps, latest)
        transaction = assemble(message, [self.wallet.address], {self.wallet.address: self.wallet.sign(message)})
        options = {"encoding": "base64", "preflightCommitment": "processed"}
        await self.net.rpc("sendTransaction", encoded(transaction), options)


@asynccontextmanager
async def settlement_setup(
    folder: Path,
    *nodes: str,
    timeouts: NodePoolOptions = LONG_TIMEOUTS,
    priority_fee: int = 0,
    consensus: Consensus | None = None,
) -> AsyncIterator[SettlementSetup]:
    """A fresh localnet, used through `nodes` of it (paths; by default the first one). Unless `consensus` is given, the
    test gets one in turn."""
    listener = RecordingListener()
    observer = Observer(make_logger("critical"))
    async with run_localnet(folder, consensus=consensus or in_turn()) as net:
        clock = ScriptedClock(net)
        failpoints = StallingFailpoints()
        chain = Localnet([net.url + node for node in nodes or ("",)], clock, listener, timeouts)
        async with open_chain(chain):
            request_log = RequestLog(clock)
            request_log.attach(chain)
            wallet = Wallet(secrets.token_bytes(32))
            reservations = LateReservations()
            sealer = solana_sealer(
                chain, wallet, GuardRules(MAX_PRICE), clock, price=fixed(priority_fee), reserved=reservations
            )
            options = MockOptions(settlement="localnet", latency_ms=0, slippage_ppm=0)
            venue = MockRaydium(VenueContext(clock, Tokens(KNOWN), chain, options))
            settlement = Settlement(
                {Network.LOCALNET: ChainWithoutNotifications(chain)},
                {Network.LOCALNET: sealer},
                clock,
                observer,
                failpoints=failpoints,
                clients=client_sealers(chain, clock, reservations),
            )
            at = SettlementSetup(
                net=net,
                chain=chain,
                clock=clock,
                failpoints=failpoints,
                request_log=request_log,
                wallet=wallet,
                sealer=sealer,
                venue=venue,
                settlement=settlement,
                listener=listener,
                observer=observer,
                reservations=reservations,
            )
            await at.signed()  # its side effect: vaults and wallet are filled
            await at.advance(FINAL + 10)
            await chain.learn_finality()
            request_log.requests.clear()
            yield at
