"""The ledger of the simulated chain: stores which swaps were sent and when they land.

`MemoryLedger` is for one process; `dexexec.settlement.simulated.postgres_ledger` has the one that processes share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from dexexec.clock import Clock


class LedgerUnavailable(Exception):  # noqa: N818 - named like the answer that it becomes
    """The ledger cannot be reached, or its answer was lost: the landings may or may not be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One signed swap on its way to the simulated chain.

    `payload` is `SimulatedSwap.encode()`. It was sent at `sent_height` and lands at `lands_at_ms` (Unix time), at the
    latest in the block `last_valid_height`, which ends at `valid_until_ms` (Unix time). With `dropped` the first send
    gets lost.
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
    KNOWN = "known"  # it was recorded before, and the earlier entry is unchanged
    LOST = "lost"  # the first send of a dropped one: its signature is stored, the landing is not
    LATE = "late"  # too old, and not recorded before: nothing is stored, now or later


class Ledger(Protocol):
    """Stores what was sent to the simulated chain. All processes share it, and it survives their restarts.

    `record` and `find` answer in the order of their arguments. All methods raise `LedgerUnavailable`.
    """

    async def now_ms(self) -> int:
        """Returns the time of the ledger's own clock (Unix, ms), which decides whether a landing is late. Never ahead
        of it."""

    async def record(self, landings: Sequence[Landing]) -> list[Receipt]:
        """Records each landing once, by signature. The same signature may come twice in one call and in concurrent
        calls. Each is decided in one atomic step, by the first of these that holds:

        * its signature is recorded: `KNOWN`, nothing changes;
        * the ledger's own clock is past `valid_until_ms`: `LATE`, nothing changes. It must be the ledger's clock, so
          that a process that was paused before it wrote cannot change what others regard as proven;
        * it is `dropped` and its signature was never seen: `LOST`, the signature is stored as seen;
        * otherwise it is recorded as given, with `dropped` unset: `RECORDED`.

        Once this returns, `find` of every process returns it.
        """

    async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
        """Returns the recorded landing of each signature; None if there is none, or if it was lost."""


class MemoryLedger:
    """A ledger in the memory of one process: for tests and for checking adapters."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recorded: dict[str, Landing] = {}
        self._seen: set[str] = set()

    def __len__(self) -> int:
        """The number of recorded swaps."""
        return len(self._recorded)

    async def now_ms(self) -> int:
        """As in the protocol."""
        return self._clock.unix_ms()

    async def record(self, landings: Sequence[Landing]) -> list[Receipt]:
        """As in the protocol."""
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
        """As in the protocol."""
        return [self._recorded.get(signature) for signature in signatures]
