"""Nodes of one simulated chain, as JSON-RPC over HTTP: each has a view of its own, and one of them may lie.

The real `RpcChain` is above them: only the transport of its nodes is replaced, by a wire of the simulation.
"""

import base64
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import httpx2

from dexexec.clock import Clock
from dexexec.domain import base58
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import VALID_FOR, Blockhash, FailedOnChain, Landed, SignedSwap, UnsignedSwap
from dexexec.domain.token import WSOL
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.simulated.chain import FINALITY, SLOT_MS
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.rpc.node_errors import MIN_CONTEXT_SLOT_NOT_REACHED, REQUEST_ERRORS
from tests.simulation.chains import ForkingNode, OnChainPeriod
from tests.simulation.clock import START_MS
from tests.simulation.wires import Server, SimulatedWire

GENESIS, FOREIGN = base58.encode(b"g" * 32), base58.encode(b"f" * 32)
SKIPPED = 22_000_000
"""Slots without a block before a scenario begins. During it, one slot in twenty has no block."""
RICH = 10**15
FAILURE = {"InstructionError": [0, {"Custom": 6_000}]}


class Lie(StrEnum):
    """False answers that a node may give."""

    SLOT_FOR_HEIGHT = "a slot for a height"
    HEIGHT = "a finalized height that is too high"
    AHEAD = "all heights and slots too high, by the same"
    CREEPING = "all heights and slots too high, by more and more"
    LAST_VALID = "a wrong last valid height"
    OLD_HASH = "a blockhash that is no good any more"
    FINALIZED = "all is finalized"
    NOT_FOUND = "nothing is known"
    FAILED = "what landed failed"
    INVENTED = "all that was sent landed, and is not final yet"
    STALE = "time stands still"
    FOREIGN = "another chain"
    REFUSES = "the bytes are wrong, after they were passed on"
    SWALLOWS = "the bytes were taken, which went nowhere"
    BROKEN = "503"
    BUSY = "429"


class SharedChain:
    """The chain's true state. `lost` is the share of sends that get lost behind the nodes; `arrived` is called with
    each."""

    def __init__(self, forking: ForkingNode, rng: random.Random, arrived: Callable[[str], None]) -> None:
        self.forking, self._rng, self._arrived = forking, rng, arrived
        self.lost = 0.0
        self.sent: dict[str, bytes] = {}

    def slot(self) -> int:
        """The one that is being made."""
        return self.forking.slot()

    def send(self, payload: bytes, *, swallowed: bool) -> str:
        """A node takes bytes; their signature."""
        swap = SimulatedSwap.decode(payload)
        signature = SimulatedSigner().sign(UnsignedSwap(payload, Blockhash(swap.blockhash, 0))).signature
        self._arrived(signature)
        self.sent[signature] = payload
        if not swallowed and self._rng.random() >= self.lost and self.slot() <= (last := last_slot(swap.blockhash)):
            self.forking.submit(SignedSwap(signature=signature, payload=payload, last_valid_height=last))
        return signature

    def may_land(self, signature: str) -> bool:
        """Whether it landed or still can: a node may forward bytes at any later time."""
        if signature not in self.sent:
            return False
        outcomes = self.forking.outcomes.get(signature)
        final = next((period for period in outcomes.periods if period.until is None), None) if outcomes else None
        if final is not None:
            return isinstance(final.outcome, Landed)
        return self.slot() <= last_slot(SimulatedSwap.decode(self.sent[signature]).blockhash)


class SimulatedNode:
    """A node of the chain. `lag`: slots that it is behind at most. It gives the false answers in `lies`."""

    def __init__(self, name: str, chain: SharedChain, rng: random.Random) -> None:
        self.server = Server(name)
        self.lag = 3
        self.lies: frozenset[Lie] = frozenset()
        self._chain, self._rng = chain, rng
        self._high = rng.choice((20, 300, 1_000, SKIPPED))
        self._low = rng.choice((-SKIPPED, -1_000, -100, 100, 1_000, SKIPPED))
        self._rate = rng.choice((0.5, 4.0, 20.0))
        self._since = 0
        self._invented: dict[str, int] = {}

    def lie(self, lies: Sequence[Lie]) -> None:
        """From now on."""
        self.lies, self._since = frozenset(lies), self._chain.slot()

    def answer(self, body: bytes) -> tuple[int, bytes]:
        """HTTP status and body of the answer to a call."""
        if self.lies & {Lie.BROKEN, Lie.BUSY} and self._rng.random() < 0.7:
            return (503 if Lie.BROKEN in self.lies else 429), b""
        call = json.loads(body)
        slot = self._chain.slot() - self._rng.randint(0, self.lag)
        if Lie.STALE in self.lies:
            slot = self._since
        *_, how = call["params"] or [None]
        least = how.get("minContextSlot", 0) if isinstance(how, dict) else 0
        if slot + self._ahead() < least:
            said: dict[str, Any] = {"error": {"code": MIN_CONTEXT_SLOT_NOT_REACHED, "message": "not reached"}}
        elif call["method"] == "sendTransaction":
            said = self._send(base64.b64decode(call["params"][0]))
        else:
            said = {"result": self._result(call["method"], call["params"], slot)}
        return 200, json.dumps({"jsonrpc": "2.0", "id": call["id"], **said}).encode()

    def _ahead(self) -> int:
        """By how much its slots and heights are too high."""
        passed = (self._chain.slot() - self._since) * SLOT_MS / 1_000
        creeping = round(self._rate * passed) if Lie.CREEPING in self.lies else 0
        return creeping + (self._high if Lie.AHEAD in self.lies else 0)

    def _send(self, payload: bytes) -> dict[str, Any]:
        signature = self._chain.send(payload, swallowed=Lie.SWALLOWS in self.lies)
        if Lie.REFUSES in self.lies:
            return {"error": {"code": self._rng.choice(sorted(REQUEST_ERRORS)), "message": "it would fail"}}
        return {"result": signature}

    def _result(self, method: str, params: Sequence[Any], slot: int) -> Any:
        reported = slot + self._ahead()
        match method:
            case "getGenesisHash":
                return FOREIGN if Lie.FOREIGN in self.lies else GENESIS
            case "getEpochInfo":
                return self._epoch(slot)
            case "getBlockHeight":
                return height_of(slot) + self._ahead()
            case "getLatestBlockhash":
                last = height_of(slot) + self._ahead() + VALID_FOR + (self._low if Lie.LAST_VALID in self.lies else 0)
                value = {"blockhash": hash_of(slot - 140 if Lie.OLD_HASH in self.lies else slot)}
                return {"context": {"slot": reported}, "value": {**value, "lastValidBlockHeight": max(0, last)}}
            case "getSignatureStatuses":
                signatures, how = params
                history = how["searchTransactionHistory"]
                return {
                    "context": {"slot": reported},
                    "value": [self._status(one, slot, history) for one in signatures],
                }
            case "getTransaction":
                return self._transaction(params[0], slot)
        raise AssertionError(f"nobody asks for {method}")

    def _epoch(self, slot: int) -> dict[str, int]:
        root = slot if {Lie.FINALIZED, Lie.FAILED} <= self.lies else slot - FINALITY
        reported, height = root + self._ahead(), height_of(root) + self._ahead()
        if Lie.SLOT_FOR_HEIGHT in self.lies:
            height = reported
        if Lie.HEIGHT in self.lies:
            height += self._high
        return {"absoluteSlot": reported, "blockHeight": height}

    def _found(self, signature: str, slot: int) -> OnChainPeriod | None:
        """Its answer about a signature."""
        if Lie.NOT_FOUND in self.lies:
            return None
        outcomes = self._chain.forking.outcomes.get(signature)
        period = outcomes.on_chain_at(slot) if outcomes else None
        payload = self._chain.sent.get(signature)
        if payload is None:
            return None
        swap = SimulatedSwap.decode(payload)
        if period is None and Lie.INVENTED in self.lies:
            since = self._invented.setdefault(signature, slot)
            return OnChainPeriod(since, since, None, _landed(swap, since)) if since <= slot else None
        if period is not None and Lie.FAILED in self.lies:
            return replace(
                period,
                outcome=FailedOnChain(code="slippage", detail="", fee=swap.fee, slot=period.since, finalized=True),
            )
        return period

    def _status(self, signature: str, slot: int, history: bool) -> dict[str, Any] | None:
        period = self._found(signature, slot)
        if period is None or (not history and slot > period.since + self._chain.forking.recent):
            return None
        how = "processed" if slot == period.since else "confirmed"
        err = None if isinstance(period.outcome, Landed) else FAILURE
        early = Lie.FINALIZED in self.lies and (err is not None or not self._ahead())
        if (early or slot - FINALITY >= period.since) and period.since != self._invented.get(signature):
            how = "finalized"
        return {"slot": period.since, "confirmations": None, "err": err, "confirmationStatus": how}

    def _transaction(self, signature: str, slot: int) -> dict[str, Any] | None:
        period = self._found(signature, slot)
        if period is None or slot == period.since:
            return None
        swap, fee = SimulatedSwap.decode(self._chain.sent[signature]), period.outcome.fee
        landed = isinstance(period.outcome, Landed)
        moved = dict(period.outcome.moved) if isinstance(period.outcome, Landed) else {}
        lamports = moved.pop(WSOL, 0)
        before, after = ([_held(swap.payer, mint, RICH + now * moved[mint]) for mint in moved] for now in (0, 1))
        meta = {
            "err": None if landed else FAILURE, "fee": fee,
            "preBalances": [RICH], "postBalances": [RICH + lamports - fee],
            "preTokenBalances": before, "postTokenBalances": after,
        }  # fmt: skip
        instruction = {"programIdIndex": 1, "accounts": [], "data": ""}
        message = {"accountKeys": [swap.payer, "program"], "instructions": [instruction]}
        return {
            "slot": period.since, "meta": meta, "transaction": {"signatures": [signature], "message": message}
        }  # fmt: skip


class WiredTransport(httpx2.AsyncBaseTransport):
    """A process's way to a node."""

    def __init__(self, node: SimulatedNode, wire: SimulatedWire) -> None:
        self._node, self._wire = node, wire

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The node's answer."""
        body = await request.aread()
        try:
            status, answer = await self._wire.call("rpc", lambda: self._node.answer(body))
        except UnavailableError as error:
            raise httpx2.ReadTimeout(str(error)) from error
        return httpx2.Response(status, stream=httpx2.ByteStream(answer))


def chain_over(nodes: Sequence[SimulatedNode], clock: Clock, wire: Callable[[Server], SimulatedWire]) -> RpcChain:
    """The real thing over simulated nodes. Which chain it is was found out when not all of them were there."""
    chain = RpcChain([f"http://{node.server.name}" for node in nodes], clock, Observer(make_logger("critical")))
    for place, node in zip(chain._nodes.order, nodes, strict=True):
        place._transport = WiredTransport(node, wire(node.server))  # type: ignore[assignment]
    chain._nodes.expect_genesis(GENESIS, [])
    return chain


def height_of(slot: int) -> int:
    """Of the newest block in a slot or before."""
    return slot - SKIPPED - (slot - START_MS // SLOT_MS) // 20


def hash_of(slot: int) -> str:
    """The blockhash of a slot."""
    return base58.encode(b"h" * 24 + slot.to_bytes(8, "big"))


def last_slot(blockhash: str) -> int:
    """The last one in which a transaction with this blockhash may land."""
    slot = int.from_bytes(base58.decode(blockhash)[24:], "big")
    last, height = slot, height_of(slot) + VALID_FOR
    while height_of(last + 1) <= height:
        last += 1
    return last


def _landed(swap: SimulatedSwap, slot: int) -> Landed:
    amount_in, amount_out = min(swap.amount_in, swap.max_in), max(swap.amount_out, swap.min_out)
    return Landed({swap.mint_in: -amount_in, swap.mint_out: amount_out}, swap.fee, slot, finalized=True)


def _held(owner: str, mint: str, amount: int) -> dict[str, Any]:
    return {"accountIndex": 1, "owner": owner, "mint": mint, "uiTokenAmount": {"amount": str(amount)}}
