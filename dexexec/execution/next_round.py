"""What follows a round that brought no fill: another one, and when; or the end. Pure, between router and pipeline.

Trouble that is not the order's (a venue or node that is away, slow, busy or wrong; a price beyond the bound) is waited
for while the deadline lasts. Answers about the order itself end it sooner: at once when they cannot change, after a few
rounds when they hardly do (`no-route`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.venue import InsufficientFunds, NoRoute
from dexexec.venues.router import Answer

LAST_ROUND_MS = 1_000.0
"""The last round begins this long before the deadline: enough for quotes and a build."""
LONGEST_SHIFT = 30

_FIRST = (FailureReason.SLIPPAGE, FailureReason.INSUFFICIENT_FUNDS, FailureReason.PRICE_IMPACT, FailureReason.GUARD)
"""Reasons that say most of what is wrong, before others of the same chance."""
_LAST = (FailureReason.UNSUPPORTED, FailureReason.DEADLINE)
"""Reasons that say least."""


class Chance(IntEnum):
    """Whether another round can help."""

    NONE = 0  # the answers are about the order, and stay
    FEW = 1  # they are about the order, and hardly change: as many rounds as there are attempts
    TIME = 2  # the trouble is not the order's: as long as the deadline lasts


@dataclass(frozen=True, slots=True)
class FailedRound:
    """Why a round brought no fill: a reason code, words, and the chance of another one. `about` tells of the attempt
    that ended, `asked` of a round of quotes that is not told yet. `rest_ms`: no venue may be asked before."""

    reason: str
    words: str
    chance: Chance
    about: Detail = field(default_factory=dict)
    asked: Detail | None = None
    rest_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often an order is tried. `attempts` bounds the transactions that are signed for it, and the rounds in which
    every venue refuses it; `rounds` bounds all rounds (None: the deadline alone does).

    The pause before the next round is doubled each time up to a maximum, of which a random part from half to all is
    waited (milliseconds).
    """

    attempts: int
    base_ms: int
    max_ms: int
    rounds: int | None = None

    def pause_ms(self, rounds: int, rng: random.Random, rest_ms: float | None = None) -> float:
        """The pause after `rounds` rounds; when all venues rest, until the first one may be asked again."""
        if rest_ms:
            return rest_ms + self.base_ms * rng.uniform(0, 1)
        return min(self.base_ms << min(max(rounds - 1, 0), LONGEST_SHIFT), self.max_ms) * rng.uniform(0.5, 1)

    def spent(self, failed: FailedRound, *, signed: bool, rounds: int, attempts: int, refusals: int) -> bool:
        """Whether the order fails now. The counts include the round that has just ended; `signed`: in it a transaction
        was."""
        if failed.chance is Chance.NONE:
            return True
        if signed and attempts >= self.attempts:
            return True
        if failed.chance is Chance.FEW and refusals >= self.attempts:
            return True
        return self.rounds is not None and rounds >= self.rounds


def until_deadline(pause_ms: float, left_ms: float) -> float:
    """The pause, cut so that a last round fits before the deadline; past that, until the deadline itself."""
    if pause_ms < left_ms:
        return pause_ms
    return left_ms - LAST_ROUND_MS if left_ms > 2 * LAST_ROUND_MS else left_ms


def chance_of(answer: Answer) -> Chance:
    """Whether asking the venue again can help."""
    if answer.code == NoRoute.code:
        return Chance.FEW
    return Chance.TIME if answer.retryable else Chance.NONE


def failed_round_of(
    answers: Sequence[Answer], asked: Detail | None = None, rest_ms: float | None = None
) -> FailedRound:
    """What the answers of all venues, none of which led to a swap, come to. One venue whose trouble may pass is reason
    enough to wait, and then its reason is told."""
    chance = max(map(chance_of, answers), default=Chance.TIME)
    codes = [answer.code for answer in answers if chance_of(answer) is chance] or [NoRoute.code]
    if chance is Chance.FEW:
        codes += [answer.code for answer in answers if answer.code in _FIRST]
    reason = min(codes, key=_weight)
    return FailedRound(reason, _words(answers), chance, asked=asked, rest_ms=rest_ms)


def unbuilt(failures: Sequence[Answer], answers: Sequence[Answer]) -> FailedRound:
    """What a round comes to in which venues quoted, and all that may be taken failed to build (`failures`). Of all
    `answers`, those count as well whose quotes could not be taken, or who gave none: one of them may do it when its
    trouble has passed.

    What the wallet lacks for one venue it may have for another, which takes less rent, fees or input; but not for one
    that does not do the order at all. It is told as what is wrong, whatever else is waited for.
    """
    others = [answer for answer in answers if answer.code]
    if any(failure.code != InsufficientFunds.code for failure in failures):
        return failed_round_of([*failures, *others])
    silent = [answer for answer in others if answer.quote is None and chance_of(answer) is Chance.TIME]
    return replace(failed_round_of([*failures, *silent]), reason=InsufficientFunds.code)


def _weight(code: str) -> int:
    return _FIRST.index(code) - len(_FIRST) if code in _FIRST else _LAST.index(code) + 1 if code in _LAST else 0


def _words(answers: Sequence[Answer]) -> str:
    """Each venue's words; once, where all have the same."""
    details = {answer.detail or answer.code for answer in answers}
    if len(details) == 1:
        return details.pop()
    return "; ".join(f"{answer.venue}: {answer.detail or answer.code}" for answer in answers)
