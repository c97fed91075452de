"""Decides whether and when an order gets another round after one without a fill. Pure functions and values.

Temporary trouble (a venue or node that is unreachable, slow, busy or wrong, or a price beyond the bound) is retried
until the deadline. Answers about the order itself end it sooner: at once when they cannot change, after a few rounds
when they rarely do (`no-route`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.operator_errors import PolicyError
from dexexec.settlement.signer_errors import SignerError
from dexexec.venues.router import Answer

LAST_ROUND_MS = 1_000.0
"""The last round begins this long before the deadline: enough for quotes and a build."""
MAX_DOUBLINGS = 30

_MOST_SPECIFIC = (
    FailureReason.SLIPPAGE,
    FailureReason.INSUFFICIENT_FUNDS,
    FailureReason.PRICE_IMPACT,
    FailureReason.GUARD,
)
"""Reported before other reasons that allow as many retries, since they help a client most. The first comes first."""
_LEAST_SPECIFIC = (FailureReason.UNSUPPORTED, FailureReason.DEADLINE)
"""Reported only if there is no other reason."""


class Retry(IntEnum):
    """Whether another round can help. A higher value allows more rounds."""

    NEVER = 0  # the answers are about the order and cannot change
    FEW_TIMES = 1  # they are about the order and rarely change: as many rounds as there are attempts
    UNTIL_DEADLINE = 2  # the trouble is temporary
    AFTER_OUTAGE = 3  # it has nothing to do with the order or a venue: only the deadline limits the rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRound:
    """Why a round ended without a fill. `attempt` is about the attempt of this round, if one was signed. `quotes` is
    the detail of the `routing` event, if that is not written yet. No venue gives quotes for `breakers_open_ms`."""

    reason: str
    detail: str
    retry: Retry
    attempt: Detail = field(default_factory=dict)
    quotes: Detail | None = None
    breakers_open_ms: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits and pauses. `attempts` limits the transactions that are signed for an order, and the rounds in which every
    venue refuses it; `rounds` limits all rounds (None: only the deadline does). Pauses are in milliseconds."""

    attempts: int
    base_ms: int
    max_ms: int
    rounds: int | None = None

    def pause_ms(self, rounds: int, rng: random.Random, breakers_open_ms: float | None = None) -> float:
        """The pause after `rounds` rounds: it doubles each time up to `max_ms`."""
        # While all breakers are open a round would fail at once. The random part keeps orders that wait for the same
        # venue from arriving there together.
        if breakers_open_ms:
            return breakers_open_ms + self.base_ms * rng.uniform(0, 1)
        doublings = min(max(rounds - 1, 0), MAX_DOUBLINGS)
        return min(self.base_ms << doublings, self.max_ms) * rng.uniform(0.5, 1)

    def is_exhausted(self, failed: FailedRound, *, signed: bool, rounds: int, attempts: int, refusals: int) -> bool:
        """Whether the order fails now. The counts include the round that has just ended; `signed`: a transaction was
        signed in it."""
        if failed.retry is Retry.NEVER:
            return True
        if failed.retry is Retry.AFTER_OUTAGE:
            return False
        if signed and attempts >= self.attempts:
            return True
        if failed.retry is Retry.FEW_TIMES and refusals >= self.attempts:
            return True
        return self.rounds is not None and rounds >= self.rounds


def fit_before_deadline(pause_ms: float, left_ms: float) -> float:
    """The pause, shortened so that a last round fits before the deadline; without room for one, until the deadline."""
    if pause_ms < left_ms:
        return pause_ms
    # Twice: a pause shorter than a round would only repeat the round that has just failed.
    return left_ms - LAST_ROUND_MS if left_ms > 2 * LAST_ROUND_MS else left_ms


def retry_of(answer: Answer) -> Retry:
    """Whether another request to this venue can help."""
    if answer.code == FailureReason.NO_ROUTE:
        return Retry.FEW_TIMES
    return Retry.UNTIL_DEADLINE if answer.retryable else Retry.NEVER


def failed_round_of(
    answers: Sequence[Answer], quotes: Detail | None = None, breakers_open_ms: float | None = None
) -> FailedRound:
    """Combines the answers of all venues, none of which led to a swap. One venue with temporary trouble is reason
    enough to wait, and then its reason is reported."""
    retry = max(map(retry_of, answers), default=Retry.UNTIL_DEADLINE)
    codes = [answer.code for answer in answers if retry_of(answer) is retry] or [str(FailureReason.NO_ROUTE)]
    # `no-route` of one venue must not hide that another one has the pool and the order is too large for it.
    if retry is Retry.FEW_TIMES:
        codes += [answer.code for answer in answers if answer.code in _MOST_SPECIFIC]
    return FailedRound(
        reason=min(codes, key=_report_order),
        detail=_detail_of(answers),
        retry=retry,
        quotes=quotes,
        breakers_open_ms=breakers_open_ms,
    )


def nothing_built(failures: Sequence[Answer], answers: Sequence[Answer]) -> FailedRound:
    """Combines a round in which every acceptable quote failed to build (`failures`). Of all `answers`, those that were
    not acceptable or had no quote count as well: such a venue may be able to execute the order later."""
    others = [answer for answer in answers if answer.code]
    if any(failure.code != FailureReason.INSUFFICIENT_FUNDS for failure in failures):
        return failed_round_of([*failures, *others])
    # The wallet may have enough for another venue, which needs less rent, fees or input. That is worth waiting for if
    # the venue could not answer now, but not if it refused the order. The reported reason is what the client can fix.
    silent = [answer for answer in others if answer.quote is None and retry_of(answer) is Retry.UNTIL_DEADLINE]
    return replace(failed_round_of([*failures, *silent]), reason=FailureReason.INSUFFICIENT_FUNDS)


def group_held(detail: str) -> FailedRound:
    """A round that ended since another order of the group was filled, or may still be. Only that order's end shows
    which of the two, and if it is filled, this order is cancelled."""
    return FailedRound(reason=FailureReason.GROUP_HELD, detail=detail, retry=Retry.UNTIL_DEADLINE)


def no_signature(error: SignerError, quotes: Detail | None = None) -> FailedRound:
    """A round that ended since the wallet's signer gave no signature. It costs the order no try."""
    return FailedRound(
        reason=FailureReason.SIGNER,
        detail=str(error),
        retry=Retry.AFTER_OUTAGE,
        quotes=quotes,
        breakers_open_ms=error.retry_in_ms,
    )


def policy_broken(error: PolicyError) -> FailedRound:
    """A round whose attempt would have broken a limit of the order's key. Only a limit per day comes back."""
    retry = Retry.UNTIL_DEADLINE if error.daily else Retry.NEVER
    return FailedRound(reason=FailureReason.POLICY, detail=str(error), retry=retry)


def _report_order(code: str) -> int:
    if code in _MOST_SPECIFIC:
        return _MOST_SPECIFIC.index(code) - len(_MOST_SPECIFIC)
    return _LEAST_SPECIFIC.index(code) + 1 if code in _LEAST_SPECIFIC else 0


def _detail_of(answers: Sequence[Answer]) -> str:
    """Each venue's own text, or the text itself when all have the same."""
    details = {answer.detail or answer.code for answer in answers}
    if len(details) == 1:
        return details.pop()
    return "; ".join(f"{answer.venue}: {answer.detail or answer.code}" for answer in answers)
