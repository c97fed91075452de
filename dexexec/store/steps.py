"""What workers hand to the store and get from it: claimed orders, and the steps that are written under a claim. The
statements are in `dexexec.store.claims`."""

from dataclasses import dataclass
from uuid import UUID

from dexexec.domain.bound import FixedBound
from dexexec.domain.event import Detail
from dexexec.domain.funds import Spending
from dexexec.domain.order import Order
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap

# `claims` counts the turns of an order that began since one ended in good order. A claim begins a turn and counts it at
# once, so that a crash of the process needs nobody to write it down. Who counts as crashed is in docs/adr/0017.
SUSPECT_AFTER = 3
"""Turns in a row that did not end in good order, after which an order without an open attempt is a suspect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt whose fate is open: the signed bytes may be sent again, and nothing else. `quoted` is what it was
    built from, as JSON values; `landed_slot` is where it was seen as confirmed, if it was; `age_ms` how long ago it was
    recorded, when it was claimed."""

    n: int
    venue: str
    signed: SignedSwap
    quoted: Detail
    landed_slot: int | None = None
    age_ms: int = 0

    def about(self) -> Detail:
        """What events that are about it say of it."""
        return {"venue": self.venue, "attempt": self.n, "txHash": self.signed.signature}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An order under our claim, with its open attempt if it has one, the signatures of all its attempts, and the reason
    and words of its last event, if that tells of a round without a fill."""

    order: Order
    attempt: Attempt | None
    signatures: tuple[str, ...] = ()
    cause: tuple[str, str] | None = None

    @property
    def suspect(self) -> bool:
        """Whether it may be what crashes its workers. An order with an open attempt is looked up whatever happens."""
        return self.order.claims > SUSPECT_AFTER and self.attempt is None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    """An attempt to record before anything is sent. `quoted` is what it was built from, as JSON values; `spending` what
    it may take of the wallet, which is reserved until it has ended."""

    n: int
    venue: str
    signed: SignedSwap
    quoted: Detail
    spending: Spending | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome of an attempt with its proof. `outcome` is None while the attempt is open: `proof` is then that of a
    swap that is confirmed and not finalized, or empty."""

    n: int
    outcome: Outcome | None
    proof: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One durable step of an order: its events and everything that changes with them, in one statement.

    `claim` and `version` fence it: they must be what the writer believes. `final`: nothing follows it. `resume_in_ms`
    gives the order back, to be taken up again by whoever comes first after that time; None keeps it. The fill stands
    as long as the order is `confirmed`. `bound` is fixed by this step; one that stands is never loosened.
    `corrections` are what became in truth of attempts that had ended otherwise, and `tx_hash` is the signature of an
    earlier attempt that turned out to be the order's swap.
    """

    order_id: UUID
    claim: int
    version: int
    events: tuple[tuple[Status, Detail], ...]
    final: bool = False
    venue: str | None = None
    reason: str | None = None
    fill: Fill | None = None
    rounds: int = 0
    attempt: NewAttempt | None = None
    resolution: Resolution | None = None
    resume_in_ms: float | None = None
    refusals: int = 0
    bound: FixedBound | None = None
    corrections: tuple[Resolution, ...] = ()
    tx_hash: str | None = None

    @property
    def needs_comparison(self) -> bool:
        """Whether it must not be written to a record that may lack what is on chain: it has an attempt, or it ends the
        order without a swap."""
        return self.attempt is not None or (self.final and self.events[-1][0] is not Status.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Release:
    """Hand an order back without a step. `blame`: its turn did not end in good order, and counts against it."""

    order_id: UUID
    claim: int
    blame: bool
    resume_in_ms: float
