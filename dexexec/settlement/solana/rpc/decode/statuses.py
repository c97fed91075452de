"""Decodes `getSignatureStatuses`: where a signature landed and how settled that is."""

from dataclasses import dataclass
from typing import Any

from dexexec.settlement.solana.rpc.decode.values import read_exactly, read_u64

COMMITMENTS = ("processed", "confirmed", "finalized")
"""From the least to the most settled."""


@dataclass(frozen=True, slots=True)
class ReportedStatus:
    """What a node reports of one signature: its slot, its commitment (an index of `COMMITMENTS`), and whether it
    failed."""

    slot: int
    commitment: int
    failed: bool


@dataclass(frozen=True, slots=True)
class ReportedStatuses:
    """The statuses of several signatures, in the order of the request, as of `slot`. None: not known there."""

    slot: int
    statuses: tuple[ReportedStatus | None, ...]


def read_statuses(result: Any, count: int) -> ReportedStatuses:
    """Decodes the statuses of `count` signatures."""
    slot = read_u64(result["context"]["slot"])
    statuses = tuple(None if status is None else _read_status(status, slot) for status in result["value"])
    return ReportedStatuses(slot, read_exactly(statuses, count))


def _read_status(status: Any, context_slot: int) -> ReportedStatus:
    slot = read_u64(status["slot"])
    # A node that reports a future slot would make a landing look settled too early.
    if slot > context_slot:
        raise ValueError("the transaction landed in a future slot")
    return ReportedStatus(slot, COMMITMENTS.index(status["confirmationStatus"]), status["err"] is not None)
