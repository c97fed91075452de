"""Reasons why an order makes no progress, for people who look at it. They decide nothing."""

from dataclasses import dataclass
from enum import StrEnum


class WaitsFor(StrEnum):
    """What an order waits for."""

    WORKER = "worker"  # accepted, and no worker has claimed it yet
    FUNDS = "funds"  # other orders in flight may spend what it needs of the wallet
    LANDING = "landing"  # its transaction is sent, and may still land
    NODE = "node"  # no node reports the outcome of its transaction
    PROOF = "proof"  # its transaction has probably expired, and no node proves that
    FINALITY = "finality"  # the chain can still take its swap back
    NETWORK = "network"  # its transaction belongs to a chain that is not configured here


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why an order makes no progress, as text for people."""

    reason: WaitsFor
    detail: str


NOT_FINAL = Waiting(WaitsFor.FINALITY, "the swap is confirmed, and not final yet: the chain can still take it back")
