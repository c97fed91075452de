"""What an order that stands still waits for, so that whoever looks at it can read it. It decides nothing."""

from dataclasses import dataclass
from enum import StrEnum


class WaitsFor(StrEnum):
    """What has to happen before the order moves on."""

    WORKER = "worker"  # it is accepted, and no worker has taken it up
    FUNDS = "funds"  # what it needs of the wallet may be spent by other orders in flight
    LANDING = "landing"  # its transaction is sent, and may still land
    NODE = "node"  # no node says what became of its transaction
    PROOF = "proof"  # its transaction can hardly land any more, and no node proves that
    FINALITY = "finality"  # what the chain shows can still be undone
    NETWORK = "network"  # its transaction is of a chain that is not set up here


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why an order stands still, in words for people."""

    reason: WaitsFor
    detail: str


NOT_FINAL = Waiting(WaitsFor.FINALITY, "the swap is confirmed, and not final yet: the chain can still take it back")
