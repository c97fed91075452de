"""The chains of a simulation: the simulated one over a ledger far away, and one with forks.

`ForkingNode` keeps what a real chain does to a swap: it lands, may be undone by a fork as long as it is not finalized,
and then lands again or never. Its rules are those that proofs rest on: nothing lands after its last valid height, and
what is `FINALITY` slots old stays.
"""

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import (
    Accepted,
    Blockhash,
    FailedOnChain,
    Landed,
    NotSeen,
    ProgramFailure,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
)
from dexexec.errors import UnavailableError
from dexexec.settlement.simulated.chain import FINALITY, SLOT_MS
from dexexec.settlement.simulated.ledger import Landing, LedgerUnavailable, MemoryLedger, Receipt
from dexexec.venue import Chain, Unreachable
from tests.simulation.wires import SimulatedWire

T = TypeVar("T")
VALID_FOR = 50
"""Slots after its own in which a blockhash may be used on the chain with forks: fewer than in reality, so that the wait
for an expiry is short."""


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits")


class RemoteLedger:
    """`dexexec.settlement.simulated.ledger.Ledger` behind a wire. `observer` is called with each signature that
    arrives."""

    def __init__(self, ledger: MemoryLedger, wire: SimulatedWire, witness: Callable[[str], None]) -> None:
        self._ledger, self._wire, self._arrived = ledger, wire, witness

    async def now_ms(self) -> int:
        """See `Ledger`. Local, since callers ask for the time rarely."""
        return await self._ledger.now_ms()

    async def record(self, landings: Sequence[Landing]) -> list[Receipt]:
        """See `Ledger`."""

        def arrive() -> list[Receipt]:
            for landing in landings:
                self._arrived(landing.signature)
            return at_once(self._ledger.record(landings))

        try:
            return await self._wire.call("record", arrive)
        except UnavailableError as error:
            raise LedgerUnavailable(str(error)) from error

    async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
        """See `Ledger`."""
        try:
            return await self._wire.call("find", lambda: at_once(self._ledger.find(signatures)))
        except UnavailableError as error:
            raise LedgerUnavailable(str(error)) from error


@dataclass(slots=True)
class OnChainPeriod:
    """A swap on the chain from slot `since`; until a fork at slot `until`, or for good. `outcome` is what it did. A
    node that was on another fork itself learns of it in slot `seen` only."""

    since: int
    seen: int
    until: int | None
    outcome: Landed | FailedOnChain


@dataclass(slots=True)
class DrawnOutcomes:
    """Outcomes of one signature, drawn when it is sent, so that every lookup agrees."""

    last_valid: int
    periods: list[OnChainPeriod] = field(default_factory=list)

    def on_chain_at(self, slot: int) -> OnChainPeriod | None:
        """The period that covers a slot, None if it is not on the chain then."""
        for period in self.periods:
            if period.seen <= slot and (period.until is None or slot < period.until):
                return period
        return None


class ForkingNode:
    """The chain itself, and the node that answers for it, some slots behind. `forks` is the share of landings that a
    fork undoes; `recent` for how many slots a node finds a signature without searching its history."""

    def __init__(self, unix_ms: Callable[[], int], rng: random.Random, forks: float, recent: int) -> None:
        self._unix_ms, self._rng, self._forks, self.recent = unix_ms, rng, forks, recent
        self.outcomes: dict[str, DrawnOutcomes] = {}
        self.payloads: dict[str, bytes] = {}

    def slot(self) -> int:
        """The one that is being made."""
        return self._unix_ms() // SLOT_MS

    def blockhash(self) -> Blockhash:
        """Of the present height."""
        return Blockhash(f"hash-{self.slot()}", self.slot() + VALID_FOR)

    def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Take the bytes; whether they land is another question. A refusal means nothing, as this is a front that
        passes them on."""
        rng, slot = self._rng, self.slot()
        try:
            SimulatedSwap.decode(signed.payload)
        except ValueError:
            return Accepted()  # and it never lands
        outcomes = self.outcomes.get(signed.signature)
        if outcomes is None:
            outcomes = self.outcomes[signed.signature] = DrawnOutcomes(signed.last_valid_height)
            self.payloads[signed.signature] = signed.payload
        if rng.random() < 0.7 and not any(period.until is None or period.until > slot for period in outcomes.periods):
            self._land(
                outcomes, signed, slot + (rng.randint(1, 8) if rng.random() < 0.9 else rng.randint(1, VALID_FOR))
            )
        return Accepted() if rng.random() < 0.8 else Unknown("-32002: it would fail, says this front")

    def _land(self, outcomes: DrawnOutcomes, signed: SignedSwap, since: int) -> None:
        """It lands in slot `since`, and is undone, and lands again with another outcome, as drawn."""
        rng, swap = self._rng, SimulatedSwap.decode(signed.payload)
        while since <= outcomes.last_valid:
            outcome = replace(swap, move_ppm=rng.choice((swap.move_ppm, 0, 9_000))).execute(since)
            if rng.random() >= self._forks:
                seen = since + (rng.randint(0, FINALITY - 1) if rng.random() < self._forks else 0)
                outcomes.periods.append(OnChainPeriod(since, seen, None, outcome))
                return
            fork = since + rng.randint(1, FINALITY - 1)
            outcomes.periods.append(OnChainPeriod(since, since, fork, outcome))
            if rng.random() < 0.5:
                return  # until it is sent again
            since = fork + rng.randint(0, 6)

    def status(self, signatures: Sequence[str], history: bool) -> list[SwapStatus]:
        """The node's answer. The node lags by a few slots, sometimes by many."""
        rng = self._rng
        slot = self.slot() - (rng.randint(0, 3) if rng.random() < 0.9 else rng.randint(4, 60))
        return [self._status(signature, slot, history) for signature in signatures]

    def _status(self, signature: str, slot: int, history: bool) -> SwapStatus:
        outcomes = self.outcomes.get(signature)
        period = outcomes.on_chain_at(slot) if outcomes else None
        if period is None or (not history and slot > period.since + self.recent):
            return NotSeen(slot - FINALITY, history, "node", slot)
        finalized = slot >= period.since + FINALITY
        outcome = period.outcome
        if isinstance(outcome, Landed):
            return Landed(outcome.moved, outcome.fee, period.since, finalized)
        blamed = ProgramFailure(index=0, program="program", custom=6_000, text="custom program error: 0x1770")
        return FailedOnChain(
            code=outcome.code,
            detail=outcome.detail,
            fee=outcome.fee,
            slot=period.since,
            finalized=finalized,
            failure=blamed,
        )


class ObservedChain:
    """A chain that calls `observer` with each signature before it is sent."""

    def __init__(self, chain: Chain, witness: Callable[[str], None]) -> None:
        self._chain, self._arrived = chain, witness
        self.blockhash, self.status = chain.blockhash, chain.status

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Send the bytes."""
        self._arrived(signed.signature)
        return await self._chain.submit(signed)


class ForkingChain:
    """`dexexec.venue.Chain` by a `ForkingNode` behind a wire."""

    def __init__(self, node: ForkingNode, wire: SimulatedWire, witness: Callable[[str], None]) -> None:
        self._node, self._wire, self._arrived = node, wire, witness

    async def blockhash(self) -> Blockhash:
        """A recent one."""
        try:
            return await self._wire.call("blockhash", self._node.blockhash)
        except UnavailableError as error:
            raise Unreachable(str(error)) from error

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Send the bytes."""

        def arrive() -> SubmitAnswer:
            self._arrived(signed.signature)
            return self._node.submit(signed)

        try:
            return await self._wire.call("submit", arrive)
        except UnavailableError as error:
            return Unknown(str(error))

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """Look them up."""
        try:
            return await self._wire.call("status", lambda: self._node.status(signatures, history))
        except UnavailableError as error:
            return [Unavailable(str(error)) for _ in signatures]
