"""Settlement on a real chain: a localnet in this process, everything that goes over the wire, and manual time.

Blocks are made while settlement pauses between two looks, and when a test makes one; not otherwise.
"""

import base64
import json
import math
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from dexexec.domain.bound import Bound
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Instruction
from dexexec.domain.swap import Blockhash, SignedSwap, SubmitAnswer, SwapStatus
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.message import Message, Program
from dexexec.settlement.solana.rpc import Localnet
from dexexec.settlement.solana.rpc.node_pool import NodePoolOptions
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.transaction import assemble, associated_token_account, compile_message, parse_message
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import Network, VenueContext
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions
from tests.support.attempts import an_attempt
from tests.support.failpoints import StallingFailpoints
from tests.support.localnet.in_process import InProcessLocalnet, rpc, run_localnet
from tests.support.localnet.mock_venue_setup import SlotClock
from tests.support.localnet.rpc_nodes import LONG_TIMEOUTS, RecordingListener, open_chain
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

Action = Callable[[], Awaitable[object]]


class ScriptedClock(SlotClock):
    """Manual time, starting at the machine's, as deadlines are counted from there.

    `meanwhile` has one action per pause. The first task that reaches the failpoint `stall` stays there until `go_on`.
    """

    def __init__(self, net: InProcessLocalnet) -> None:
        super().__init__(net)
        self._base = time.monotonic()
        self.meanwhile: deque[Action] = deque()
        self.pauses = 0

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._base + super().monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, and the next deed be done first."""
        self.pauses += 1
        if self.meanwhile:
            await self.meanwhile.popleft()()
        await super().sleep(seconds)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A JSON-RPC request as it went over the wire: when, to which node, and the answer's result or error, if any."""

    at: float
    node: str
    method: str
    params: Any
    answer: Any = None

    @property
    def options(self) -> Any:
        """The object that comes last."""
        return self.params[-1]


@dataclass
class RequestLog:
    """All requests to all nodes, in the order of their answers. `before` holds what happens just before the next
    request of a method goes out, once. Requests that `cut` picks are broken off."""

    clock: ScriptedClock
    cut: Callable[[LoggedRequest], bool] = lambda _: False
    requests: list[LoggedRequest] = field(default_factory=list)
    before: dict[str, Action] = field(default_factory=dict)

    def of(self, *methods: str) -> list[LoggedRequest]:
        """The requests of these methods."""
        return [one for one in self.requests if one.method in methods]

    @property
    def sends(self) -> list[LoggedRequest]:
        """All transactions that were sent."""
        return self.of("sendTransaction")

    def tap(self, chain: Localnet) -> None:
        """Record all requests of a chain to its nodes."""
        for node in chain._nodes.order:
            node._transport = _LoggingTransport(self, node.name, node._transport)  # type: ignore[assignment]


class _LoggingTransport(httpx2.AsyncBaseTransport):
    """A transport that is listened to."""

    def __init__(self, request_log: RequestLog, node: str, inner: httpx2.AsyncBaseTransport) -> None:
        self._request_log, self._node, self._inner = request_log, node, inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        method, params = asked["method"], asked["params"]
        if (deed := self._request_log.before.pop(method, None)) is not None:
            await deed()
        at, answer = self._request_log.clock.monotonic(), None
        try:
            if self._request_log.cut(LoggedRequest(at, self._node, method, params)):
                raise httpx2.ReadError("cut")
            response = await self._inner.handle_async_request(request)
            body = b"".join([part async for part in response.aiter_raw()])
            await response.aclose()
            if response.status_code == 200 and body.endswith(b"}"):
                document = json.loads(body)
                answer = document.get("result", document.get("error"))
            return httpx2.Response(response.status_code, headers=response.headers, stream=httpx2.ByteStream(body))
        finally:
            self._request_log.requests.append(LoggedRequest(at, self._node, method, params, answer))

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass
class ChainWithoutNotifications:
    """The chain without notifications: waiting for a swap uses only the clock, which the test controls."""

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


@dataclass
class SettlementSetup:
    """A localnet with a wallet that is rich and a venue whose vaults are full, all of it final."""

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

    @property
    def pool(self) -> str:
        """Who signs for the venue's vaults."""
        vaults, pair = self.venue._vaults, self.venue.market.pair(SELL_SOL)
        assert vaults is not None
        return vaults.pool(pair).address

    # Settling

    async def signed(self, request: SwapRequest = SELL_SOL) -> SignedSwap:
        """A swap that is ready to be recorded and sent."""
        quote = await self.venue.quote(request, self.clock.monotonic() + 5)
        return (await self.settlement.prepare(self.venue, quote, math.inf, an_attempt(), bound=Bound.of(quote))).signed

    async def settle(
        self, signed: SignedSwap, request: SwapRequest = SELL_SOL, *, resumed: bool = False
    ) -> SettlementResult:
        """Send it, and stay with it."""
        return await self.settlement.settle(
            PendingAttempt(signed=signed, request=request, deadline=math.inf, resumed=resumed, venue=self.venue),
            lambda: True,
        )

    # Nodes

    async def advance(self, slots: int) -> None:
        """Let slots pass."""
        for _ in range(slots):
            self.net.ledger.tick()

    async def set_faults(self, node: str = "", /, **given: Any) -> None:
        """Set a node's faults; none ends them."""
        await rpc(self.net.url + node, "localnet_setFaults", given)

    async def fork(self, blocks: int) -> None:
        """The newest blocks never were."""
        await self.net.rpc("localnet_fork", blocks)

    # What the chain says

    async def statuses(self, signatures: Sequence[str]) -> list[Any]:
        """What the first node finds in its whole history."""
        found = await self.net.rpc("getSignatureStatuses", list(signatures), {"searchTransactionHistory": True})
        return list(found["value"])

    async def transaction(self, signature: str) -> Any:
        """A transaction as the chain has it."""
        options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0, "encoding": "json"}
        return await self.net.rpc("getTransaction", signature, options)

    async def swaps(self, *, failed: bool = False) -> list[str]:
        """The signatures of all swaps of our wallet that are on chain and succeeded (or failed), newest first: what
        both the wallet and the venue have signed."""
        of_wallet = await self.net.rpc("getSignaturesForAddress", self.wallet.address, {"commitment": "confirmed"})
        found = []
        for one in of_wallet:
            if (one["err"] is not None) is failed:
                message = (await self.transaction(one["signature"]))["transaction"]["message"]
                signers = message["accountKeys"][: message["header"]["numRequiredSignatures"]]
                found += [one["signature"]] if signers == [self.wallet.address, self.pool] else []
        return found

    async def holds(self, mint: str) -> int:
        """Base units that our wallet's associated account holds, as processed."""
        address = associated_token_account(self.wallet.address, mint)
        found = (await self.net.rpc("getTokenAccountBalance", address, {"commitment": "processed"}))["value"]
        return int(found["amount"])

    async def lamports(self) -> int:
        """What our wallet has, as processed."""
        found = await self.net.rpc("getBalance", self.wallet.address, {"commitment": "processed"})
        return int(found["value"])

    # What others do

    async def burn_dollars(self) -> None:
        """Our wallet loses all its USDC, in the newest block."""
        ours = associated_token_account(self.wallet.address, USDC)
        amount = (await self.holds(USDC)).to_bytes(8, "little")
        wallet = self.wallet.address
        await self.land(call(Program.TOKEN, b"\x08" + amount, ours, USDC, wallet, signers=[wallet]))

    async def land(self, *steps: Instruction) -> None:
        """Another transaction of our wallet, past all of this project."""
        latest = (await self.net.rpc("getLatestBlockhash", {"commitment": "processed"}))["value"]["blockhash"]
        message = compile_message(self.wallet.address, steps, latest)
        transaction = assemble(message, [self.wallet.address], {self.wallet.address: self.wallet.sign(message)})
        how = {"encoding": "base64", "preflightCommitment": "processed"}
        await self.net.rpc("sendTransaction", in_base64(transaction), how)


def in_base64(transaction: bytes) -> str:
    """As it goes over the wire."""
    return base64.b64encode(transaction).decode()


def payload_of(sent: LoggedRequest) -> bytes:
    """The transaction of a `sendTransaction`."""
    return base64.b64decode(sent.params[0])


def message_of(transaction: bytes) -> Message:
    """The fields of a transaction."""
    return parse_message(transaction[1 + 64 * transaction[0] :])


@asynccontextmanager
async def settlement_setup(
    folder: Path, *nodes: str, timeouts: NodePoolOptions = LONG_TIMEOUTS, priority_fee: int = 0
) -> AsyncIterator[SettlementSetup]:
    """A fresh localnet, used through `nodes` of it (paths; by default the first one)."""
    listener, observer = RecordingListener(), Observer(make_logger("critical"))
    async with run_localnet(folder) as net:
        clock, failpoints = ScriptedClock(net), StallingFailpoints()
        chain = Localnet([net.url + node for node in nodes or ("",)], clock, listener, timeouts)
        async with open_chain(chain):
            request_log = RequestLog(clock)
            request_log.tap(chain)
            wallet = Wallet(secrets.token_bytes(32))
            sealer = SolanaSealer(chain, wallet, GuardRules(MAX_PRICE), clock, price=fixed(priority_fee))
            options = MockOptions(settlement="localnet", latency_ms=0, slippage_ppm=0)
            venue = MockRaydium(VenueContext(clock, Tokens(KNOWN), chain, options))
            settlement = Settlement(
                {Network.LOCALNET: ChainWithoutNotifications(chain)},
                {Network.LOCALNET: sealer},
                clock,
                observer,
                failpoints=failpoints,
            )
            at = SettlementSetup(
                net, chain, clock, failpoints, request_log, wallet, sealer, venue, settlement, listener, observer
            )
            await at.signed()  # which fills vaults and wallet
            await at.advance(FINAL + 10)
            request_log.requests.clear()
            yield at
