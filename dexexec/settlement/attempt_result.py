"""What a status proves about an attempt, with the proof that is stored beside the outcome."""

from dexexec.domain.cost import AttemptCost
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.outcome import Outcome
from dexexec.domain.swap import (
    FailedOnChain,
    Landed,
    NotSeen,
    SubmitAnswer,
    SwapStatus,
    Unknown,
    fill_of,
    proves_expiry,
)
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import UNPRINTABLE, clean, code_of, slug
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.venue import VenueError


def unsent() -> SettlementResult:
    """The result of an attempt that was signed in time and reached its deadline before it was sent."""
    return SettlementResult(
        outcome=Outcome.UNSENT,
        proof={"sent": False},
        reason=FailureReason.DEADLINE,
        detail="the deadline passed before anything was sent",
    )


def result_of(
    attempt: PendingAttempt, status: SwapStatus, sends: int, answer: SubmitAnswer | None, observer: Observer
) -> SettlementResult | None:
    """Returns what `status` proves, or None while it proves nothing.

    `sends` is how many times this turn sent the bytes, `answer` the answer to the last send. The answer is no proof;
    it is only quoted to explain why nothing landed.
    """
    match status:
        case Landed():
            return _landed(attempt, status, sends)
        # A failure in a block that is not finalized may be undone, and then the same bytes may still land.
        case FailedOnChain(finalized=True):
            return _failed(attempt, status, sends, observer)
        case NotSeen() if proves_expiry(status, attempt.signed.last_valid_height):
            return _expired(attempt, status, sends, answer)
        case _:
            return None


def _landed(attempt: PendingAttempt, status: Landed, sends: int) -> SettlementResult:
    return SettlementResult(
        outcome=Outcome.LANDED if status.finalized else Outcome.CONFIRMED,
        proof={"slot": status.slot, "finalized": status.finalized, "sends": sends},
        fill=fill_of(status, attempt.request),
    )


def _failed(attempt: PendingAttempt, status: FailedOnChain, sends: int, observer: Observer) -> SettlementResult:
    reason, detail = explain_failure(attempt, status, observer)
    return SettlementResult(
        outcome=Outcome.FAILED,
        proof={
            "slot": status.slot,
            "code": reason,
            "detail": detail,
            "fee": str(status.fee),
            "cost": AttemptCost.of_failure(status.fee, status.cost).detail(),
            "sends": sends,
        },
        reason=reason,
        detail=detail,
    )


def _expired(attempt: PendingAttempt, status: NotSeen, sends: int, answer: SubmitAnswer | None) -> SettlementResult:
    answered = f"; the last send was answered: {answer.detail}" if isinstance(answer, Unknown) else ""
    return SettlementResult(
        outcome=Outcome.EXPIRED,
        proof={
            "signatures": list(attempt.signatures),
            "lastValidHeight": attempt.signed.last_valid_height,
            "heightSeen": status.height,
            "historySearched": True,
            "node": status.node,
            "sends": sends,
        },
        reason=FailureReason.ATTEMPT_EXPIRED,
        detail=f"the transaction can no longer land{answered}",
    )


def explain_failure(attempt: PendingAttempt, failed: FailedOnChain, observer: Observer) -> tuple[str, str]:
    """Returns a reason code and words: the venue's if it recognises its program's error, else the chain's."""
    reason = slug(failed.code, FailureReason.PROGRAM_ERROR)
    detail = clean(failed.detail)
    if attempt.venue is None or failed.failure is None:
        return reason, detail
    # The failure is proven. No error of an adapter, not even a panic, may keep it from being recorded.
    try:
        explained = attempt.venue.explain(failed.failure)
    except BaseException as error:  # noqa: BLE001
        observer.explanation_failed(attempt.venue.name, attempt.signed.signature, error)
        return reason, detail
    if not isinstance(explained, VenueError):
        return reason, detail
    words = clean(explained)
    return code_of(explained), detail if words == UNPRINTABLE else f"{words} ({detail})"
