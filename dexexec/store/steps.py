"""The values that workers and the store exchange: claimed orders, attempts and steps.

The statements are in `claims` and `step_writes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from dexexec.domain.bound import Bound, FixedBound
from dexexec.domain.event import NO_STAGES, Detail
from dexexec.domain.funds import Spending
from dexexec.domain.handout import Handout
from dexexec.domain.order import Order
from dexexec.domain.outcome import Outcome
from dexexec.domain.policy_check import Trade
from dexexec.domain.quote import Fill
from dexexec.domain.stage import Stage
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap

# `orders.claims` counts the claims since the last one that ended normally. The claim itself counts: a process that
# crashes can write nothing afterwards. docs/adr/0017 defines which claims count.
SUSPECT_AFTER = 3
"""After this many claims in a row without a normal end, an order without an open attempt is a suspect: it may be what
crashes its workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An open attempt. Only its signed bytes may be sent for the order.

    `quoted` is the quote that it was built from, as JSON values. `landed_slot` is the slot where it was seen confirmed,
    if it was. `age_ms` is its age when the order was claimed.
    """

    n: int
    venue: str
    signed: SignedSwap
    quoted: Detail
    landed_slot: int | None = None
    age_ms: int = 0

    def about(self) -> Detail:
        """The fields that name this attempt in events."""
        return {"venue": self.venue, "attempt": self.n, "txHash": self.signed.signature}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claimed order, with its open attempt if it has one and the signatures of all its attempts. `group_signatures`
    are those of the other orders of its group. `cause` is the reason and detail of its last event, if that reports a
    round without a fill."""

    order: Order
    attempt: Attempt | None
    signatures: tuple[str, ...] = ()
    group_signatures: tuple[str, ...] = ()
    cause: tuple[str, str] | None = None

    @property
    def suspect(self) -> bool:
        """Whether this order may be what crashes its workers."""
        # An order with an open attempt is never set aside as a suspect: its swap may land, so it must be looked up.
        return self.order.claims > SUSPECT_AFTER and self.attempt is None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    """An attempt to record before its transaction is sent. `quoted` is the quote that it was built from, as JSON
    values. `spending` is what it may take from the wallet; the amount is reserved until the attempt has ended. `trade`
    is what the policy of the order's key limits; None: nothing is limited."""

    n: int
    venue: str
    signed: SignedSwap
    quoted: Detail
    spending: Spending | None = None
    trade: Trade | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome of an attempt with its proof. `outcome` is None while the attempt is open: `proof` is then that of a
    swap that is confirmed and not finalized, or empty. `sends` are the sends to each endpoint as JSON values; without
    any, those of an earlier turn stay."""

    n: int
    outcome: Outcome | None
    proof: Detail
    sends: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class RoundAmount:
    """The amount (base units) that an order for a share of the balance has from this round on, and its bound for that
    amount; None while no quote has fixed one."""

    base_units: int
    bound: Bound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One durable step of an order: its events and all changes of its row and attempts, in one statement.

    `claim` and `version` must match the order's row, or nothing is written. `final`: no event follows. `resume_in_ms`
    gives the order back; any worker may claim it after that time (None: the worker keeps it). The fill is kept as long
    as the order is `confirmed`. `bound` fixes the order's bound, which can only become stricter. `corrections` are the
    true outcomes of attempts that had been recorded otherwise, and `tx_hash` is the signature of an earlier attempt
    that turned out to be the order's swap. `rest_ms` gives the order back to rest until it is triggered again, which
    does not happen before that time. `unbind` forgets a bound that was fixed by a quote: the next round fixes another.
    `amount` is new if the order spends a share of the balance, which this round has read. `stages` are the seconds that
    stages took since the step before; they are not stored. `handout` is what
    the client has to sign; `by_client`: the client signs for this order.
    `owner` and `kind` (for the metrics) are the order's.
    `group` is the order's `ocoGroup`, and `group_lookups` how many attempts of other orders of that group were looked
    up on chain since the claim.
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
    rest_ms: float | None = None
    unbind: bool = False
    amount: RoundAmount | None = None
    owner: int | None = None
    group: str | None = None
    group_lookups: int = 0
    stages: Mapping[Stage, float] = field(default_factory=lambda: NO_STAGES)
    handout: Handout | None = None
    by_client: bool = False
    kind: str = ""

    @property
    def may_swap(self) -> bool:
        """Whether this step may lead to a fill, and so may only be written for one order of a group: it adds an
        attempt, or it ends a dry run with a fill."""
        return self.attempt is not None or self.events[-1][0] is Status.SIMULATED

    @property
    def takes_handout(self) -> bool:
        """Whether what was handed out before is done with: it became an attempt, or the order has ended."""
        return self.by_client and (self.attempt is not None or self.final)

    @property
    def swapped(self) -> bool:
        """Whether the order's swap has landed with this step."""
        return self.events[-1][0] is Status.CONFIRMED

    @property
    def needs_comparison(self) -> bool:
        """Whether this step may only be written to a record that was compared with the chain: it adds an attempt, or it
        ends the order without a swap."""
        return self.attempt is not None or (self.final and self.events[-1][0] is not Status.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Release:
    """Gives an order back without a step. With `blame`, the claim counts as one without a normal end."""

    order_id: UUID
    claim: int
    blame: bool
    resume_in_ms: float
