"""The simulated chain: it settles the swaps of the mock venues, with the failures of a real chain.

Nothing runs in the background. The height follows from the ledger's clock, a blockhash is a hash of its height, and the
bytes of a swap decide its result; the `Ledger` stores only which bytes were sent and when they land. So all processes
that share a ledger see the same chain, also after a restart and with different clocks.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import get_type_hints

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
from dexexec.settlement.simulated.ledger import Landing, Ledger, LedgerUnavailable, Receipt
from dexexec.venue import Unreachable

SLOT_MS = 400
VALID_FOR = 150
"""For how many blocks after its own a blockhash is valid."""
FINALITY = 32
"""Blocks by which the finalized height is behind. Only that height proves expiry."""
_FIELD_TYPES = get_type_hints(SimulatedSwap)


class SimulatedChain:
    """Implements `dexexec.venue.Chain` on a ledger, whose clock it uses. All processes that share a ledger must share
    `seed`."""

    def __init__(self, ledger: Ledger, seed: str = "dexexec") -> None:
        self._ledger = ledger
        self._seed = seed

    async def blockhash(self) -> Blockhash:
        """Returns the blockhash of the current height. Raises `Unreachable`."""
        try:
            height = await self._ledger.now_ms() // SLOT_MS
        except LedgerUnavailable as error:
            raise Unreachable(f"the ledger of the simulated chain does not answer: {error}", shared=True) from error
        return Blockhash(self._hash(height), height + VALID_FOR)

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Accepts the swap, or returns why that is uncertain. Sending it again changes nothing, except for a swap whose
        first send was lost."""
        # Bytes that this chain can never accept are `Unknown` too: the refusal of a real node proves nothing either.
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
        """Returns the statuses, from one lookup for all. The whole history is always searched."""
        try:
            # The time comes first: an answer that proves expiry must not miss a landing recorded in between.
            now = await self._ledger.now_ms()
            landings = await self._ledger.find(signatures)
        except LedgerUnavailable as error:
            return [Unavailable(f"the ledger of the simulated chain does not answer: {error}") for _ in signatures]
        return [_status(landing, now) for landing in landings]

    async def _refuse_unless_known(self, signature: str) -> SubmitAnswer:
        # A swap that was accepted before the seed changed stays accepted, or it would be lost with its blockhash.
        [known] = await self._ledger.find([signature])
        return Accepted() if known else Unknown("the blockhash is not of this chain")

    def _hash(self, height: int) -> str:
        return _hash(self._seed, height)


@lru_cache(maxsize=256)
def _hash(seed: str, height: int) -> str:
    return base58.encode(blake2b(f"{height}:{seed}".encode(), digest_size=32).digest())


def read_swap(payload: bytes) -> SimulatedSwap:
    """Decodes the swap. Raises `ValueError` for bytes that this chain does not accept."""
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
    # The finalized height is `FINALITY` blocks behind, so that a swap only counts as expired when no process can still
    # be recording it.
    return NotSeen(now // SLOT_MS - FINALITY, history=True, node="simulated", slot=now // SLOT_MS)
