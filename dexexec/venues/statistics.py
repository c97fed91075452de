"""Counts what each venue answered lately: quotes and errors, their times, and how often it was the best."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from dexexec.domain.percentile import percentile

KEPT = 1_000
"""Answers that are kept for each venue. Older ones no longer count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAnswer:
    """One answer: `quoted` without an error, after `elapsed_ms`, `best` of its round, or the `code` of the error."""

    quoted: bool
    elapsed_ms: int
    best: bool
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFigures:
    """`answers` lately, how many `quotes` among them and how many were the `best`; the errors by code; percentiles of
    the time to a quote in milliseconds, None without a quote."""

    answers: int
    quotes: int
    best: int
    errors: dict[str, int]
    p50_ms: int | None
    p99_ms: int | None


class VenueStatistics:
    """Collects answers by venue."""

    def __init__(self, venues: Iterable[str]) -> None:
        self._answers: dict[str, deque[VenueAnswer]] = {name: deque(maxlen=KEPT) for name in venues}

    def add(self, venue: str, answer: VenueAnswer) -> None:
        """Count an answer."""
        self._answers[venue].append(answer)

    def figures(self, venue: str) -> VenueFigures:
        """What the venue answered lately."""
        answers = self._answers[venue]
        times = sorted(answer.elapsed_ms for answer in answers if answer.quoted)
        return VenueFigures(
            answers=len(answers),
            quotes=len(times),
            best=sum(answer.best for answer in answers),
            errors=dict(Counter(str(answer.code) for answer in answers if not answer.quoted)),  # plain: JSON keys
            p50_ms=percentile(times, 0.5),
            p99_ms=percentile(times, 0.99),
        )
