"""The simulated chain: where the swaps of the mock venues settle, with the failures of a real one.

Nothing runs in the background. The height is the ledger's time, a blockhash is a hash of its height, and what a swap
does is decided by its own bytes; the `Ledger` only remembers which bytes were sent and when they land. So every process
that shares a ledger, before or after a restart and whatever its own clock says, sees one chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol, get_type_hints

from dexexec.clock import Clock
from dexexec.domain import base58
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import (
    Accepted,
    Blockhash,
    NotSeen,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
)
from dexexec.venue import Unreachable

SLOT_MS = 400
VALID_FOR = 150
"""Blocks after its own in which a blockhash may still be used."""
FINALITY = 32
"""Blocks by which the finalized height, the one that proves expiry, is behind."""
_FIELD_TYPES = get_type_hints(SimulatedSwap)


class LedgerUnavailable(Exception):  # noqa: N818 - named like the answer that it becomes
    """The ledger cannot be asked, or its answer was lost: what it was told may or may not be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One signed swap on its way to the simulated chain.

    `payload` is `SimulatedSwap.encode()`. `sent_height` is the height it was sent at, `lands_at_ms` (Unix time) when it
    lands, `last_valid_height` the last height it may land at and `valid_until_ms` the end of that block (Unix time).
    `dropped` says that the first send is lost.
    """

    signature: str
    payload: bytes
    sent_height: int
    lands_at_ms: int
    last_valid_height: int
    valid_until_ms: int
    dropped: bool = False


class Receipt(StrEnum):
    """What the ledger did with a landing."""

    RECORDED = "recorded"  # it is on its way now
    KNOWN = "known"  # it was recorded before, and the earlier record stands
    LOST = "lost"  # the first sight of a dropped one: noted, not recorded
    LATE = "late"  # too old, and not recorded before: nothing is noted, now or ever


class Ledger(Protocol):
    """What was sent to the simulated chain. Shared by all processes, and outliving them if they are to be restarted.

    `record` and `find` take many at once and answer in the order asked. All methods raise `LedgerUnavailable`.
    """

    async def now_ms(self) -> int:
        """The time by the ledger's own clock (Unix, ms), by which landings are late: never ahead of it."""

    async def record(self, landings: Sequence[Landing]) -> list[Receipt]:
        """Record each landing once, by signature. The same signature may come twice in one call and in concurrent
        calls; each is decided in one atomic step, by the first of these that holds:

        * its signature is recorded: `KNOWN`, nothing changes;
        * the ledger's own clock is past `valid_until_ms`: `LATE`, nothing changes. It is the ledger's clock so that a
          process that was stopped between deciding and writing cannot change what others hold for proven;
        * it is `dropped` and its signature was never seen: `LOST`, the signature is noted as seen;
        * else it is recorded as given, but for `dropped`, which it is no more: `RECORDED`.

        Once this returns, `find` by any process knows it.
        """

    async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
        """The recorded landing of each signature, None where there is none (a lost one is none)."""


class MemoryLedger:
    """A ledger for one process, gone with it: for tests and for checking adapters."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recorded: dict[str, Landing] = {}
        self._seen: set[str] = set()

    def __len__(self) -> int:
        """How many swaps were recorded."""
        return len(self._recorded)

    async def now_ms(self) -> int:
        """As the protocol says."""
        return self._clock.unix_ms()

    async def record(self, landings: Sequence[Landing]) -> list[Receipt]:
        """As the protocol says."""
        return [self._record(landing) for landing in landings]

    def _record(self, landing: Landing) -> Receipt:
        if landing.signature in self._recorded:
            return Receipt.KNOWN
        if self._clock.unix_ms() > landing.valid_until_ms:
            return Receipt.LATE
        if landing.dropped and landing.signature not in self._seen:
            self._seen.add(landing.signature)
            return Receipt.LOST
        self._recorded[landing.signature] = replace(landing, dropped=False)
        return Receipt.RECORDED

    async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
        """As the protocol says."""
        return [self._recorded.get(signature) for signature in signatures]


class SimulatedChain:
    """`dexexec.venue.Chain` over a ledger, whose clock is the chain's. All processes that share it must share `seed`.

    `status` answers at the finalized height, which is `FINALITY` blocks behind: a swap is only proven unlandable when
    nobody can be in the middle of recording it any more.
    """

    def __init__(self, ledger: Ledger, seed: str = "dexexec") -> None:
        self._ledger = ledger
        self._seed = seed

    async def blockhash(self) -> Blockhash:
        """The blockhash of the present height. Raises `Unreachable`."""
        try:
            height = await self._ledger.now_ms() // SLOT_MS
        except LedgerUnavailable as error:
            raise Unreachable(f"the ledger of the simulated chain does not answer: {error}", shared=True) from error
        return Blockhash(self._hash(height), height + VALID_FOR)

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Take the swap, or say why that is not certain: also for bytes that this chain can never take, as a refusal of
        a real node proves nothing either. Sending it again changes nothing, but for a swap whose first send was lost.
        """
        try:
            if len(base58.decode(signed.signature)) != 64:
                raise ValueError("the signature is not 64 bytes")
            swap = read_swap(signed.payload)
        except ValueError as error:
            return Unknown(f"malformed: {error}")
        try:
            now = await self._ledger.now_ms()
            landing = Landing(
                signature=signed.signature,
                payload=signed.payload,
                sent_height=now // SLOT_MS,
                lands_at_ms=now + swap.landing_ms,
                last_valid_height=signed.last_valid_height,
                valid_until_ms=(signed.last_valid_height + 1) * SLOT_MS - 1,
                dropped=swap.dropped,
            )
            if swap.blockhash != self._hash(signed.last_valid_height - VALID_FOR):
                return await self._refuse_unless_known(signed.signature)
            [receipt] = await self._ledger.record([landing])
        except LedgerUnavailable as error:
            return Unknown(f"the ledger of the simulated chain does not answer: {error}")
        if receipt is Receipt.LATE:
            return Unknown(f"its blockhash has expired: the last valid height was {signed.last_valid_height}")
        return Accepted()

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """What has landed, from one look-up for all. Its whole history is always searched."""
        try:
            # The time is taken before the look-up: a record made meanwhile must not be missed by an answer that proves.
            now = await self._ledger.now_ms()
            found = await self._ledger.find(signatures)
        except LedgerUnavailable as error:
            return [Unavailable(f"the ledger of the simulated chain does not answer: {error}") for _ in signatures]
        return [_status(landing, now) for landing in found]

    async def _refuse_unless_known(self, signature: str) -> SubmitAnswer:
        """A blockhash of another seed: refused, unless the swap was taken when that was still the seed."""
        [known] = await self._ledger.find([signature])
        return Accepted() if known else Unknown("the blockhash is not of this chain")

    def _hash(self, height: int) -> str:
        return _hash(self._seed, height)


@lru_cache(maxsize=256)
def _hash(seed: str, height: int) -> str:
    return base58.encode(blake2b(f"{height}:{seed}".encode(), digest_size=32).digest())


def read_swap(payload: bytes) -> SimulatedSwap:
    """The swap inside; raises `ValueError` for what this chain would not take."""
    try:
        swap = SimulatedSwap.decode(payload)
    except RecursionError:
        raise ValueError("the payload is nested too deep") from None
    for name, kind in _FIELD_TYPES.items():
        value = getattr(swap, name)
        if type(value) is not kind:
            raise ValueError(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
        if kind is int and value < 0:
            raise ValueError(f"{name} is negative")
    return swap


def _status(landing: Landing | None, now: int) -> SwapStatus:
    if landing is not None and landing.lands_at_ms <= now:
        slot = landing.lands_at_ms // SLOT_MS
        if slot <= landing.last_valid_height:
            return SimulatedSwap.decode(landing.payload).execute(slot)
    return NotSeen(now // SLOT_MS - FINALITY, history=True, node="simulated", slot=now // SLOT_MS)
