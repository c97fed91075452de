"""An order that this worker executes: its state during one execution, from the claim to the release."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dexexec.domain.bound import FixedBound
from dexexec.domain.order import Order
from dexexec.domain.stage import Stage
from dexexec.domain.status import Status
from dexexec.domain.wait_reason import WaitsFor
from dexexec.execution.early_quotes import EarlyRound
from dexexec.store import Attempt, Claimed, RoundAmount
from dexexec.venue import AnyVenue


class Cause(NamedTuple):
    """Why the previous round ended without a fill."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The order needs another execution in `delay_ms`."""

    delay_ms: float


@dataclass(slots=True, kw_only=True)
class Job:
    """The order as of the last write, and what this execution learned. Times are monotonic seconds."""

    order: Order
    status: Status
    version: int
    rounds: int
    attempts: int
    refusals: int
    """Rounds in which every venue refused the order itself."""
    deadline: float
    begun: float
    may_send: Callable[[], bool]
    """Whether this worker still holds its lease."""
    dry: bool = False
    """Whether it is only simulated."""
    signatures: tuple[str, ...] = ()
    """Of all attempts."""
    group_signatures: tuple[str, ...] = ()
    """Of all attempts of other orders of its group."""
    funds_until: float | None = None
    """Until when it waits for funds that other open attempts may spend; None before that wait."""
    cause: Cause | None = None
    early: EarlyRound | None = None
    """Quotes for the first round that were requested while the order was claimed."""
    fixed: FixedBound | None = None
    """The bound that this round fixed, while it is not written yet."""
    amount: RoundAmount | None = None
    """The amount that this round read from the balance, while it is not written yet."""
    stages: dict[Stage, float] = field(default_factory=dict)
    """Seconds that each stage took since the last write."""
    waits_for: WaitsFor | None = None
    """The wait reason that was logged last."""

    @classmethod
    def of(cls, claimed: Claimed, claimed_at: float, may_send: Callable[[], bool]) -> "Job":
        """The job of a claim that was requested at `claimed_at` (monotonic seconds)."""
        order = claimed.order
        is_new = order.status is Status.PENDING and order.claims == 1
        return cls(
            order=order,
            status=order.status,
            version=order.version,
            rounds=order.rounds,
            attempts=order.attempts,
            refusals=order.refusals,
            # From before the request, so that a slow answer never moves the deadline back.
            deadline=claimed_at + order.deadline_in_ms / 1000,
            begun=claimed_at,
            may_send=may_send,
            dry=order.dry_run,
            signatures=claimed.signatures,
            group_signatures=claimed.group_signatures,
            cause=Cause(*claimed.cause) if claimed.cause else None,
            stages={Stage.QUEUE: order.age_ms / 1000} if is_new else {},
        )

    def took(self, stage: Stage, seconds: float) -> None:
        """Add the time of a stage, which a round may go through several times."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def signatures_except(self, attempt: Attempt) -> tuple[str, ...]:
        """The signatures of the order's other attempts."""
        return tuple(signature for signature in self.signatures if signature != attempt.signed.signature)


def located(attempt: Attempt, venues: Mapping[str, AnyVenue]) -> Attempt:
    """The attempt with its network. Old records do not name it: then it is the one of its venue."""
    venue = venues.get(attempt.venue)
    if attempt.signed.network or venue is None:
        return attempt
    return replace(attempt, signed=replace(attempt.signed, network=venue.capabilities.network))
