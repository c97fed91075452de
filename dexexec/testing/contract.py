"""The contract of adapters as a list of checks, to be called by any test runner, and as a report for people.

A check is awaited with a `Harness`. It returns when the adapter keeps the rule, raises `ContractViolation` when not,
and `NotApplicable` when the rule says nothing about this adapter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dexexec.testing import quoting, settling
from dexexec.testing.harness import Harness, NotApplicable, RuleBroken, describe


class ContractViolation(AssertionError):  # noqa: N818
    """An adapter breaks `rule`; `detail` says what was seen and what was due."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: its name, the promise in a sentence, and the code that tries it."""

    rule: str
    promise: str
    run: Callable[[Harness], Awaitable[None]]

    async def __call__(self, harness: Harness) -> None:
        """Try the rule. Raises `ContractViolation` or `NotApplicable`."""
        try:
            await self.run(harness)
        except RuleBroken as error:
            raise ContractViolation(self.rule, str(error)) from None


class Verdict(StrEnum):
    """How a rule came out."""

    OK = "ok"
    FAIL = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a report. `detail` is empty when the rule is kept."""

    rule: str
    promise: str
    verdict: Verdict
    detail: str


def _check(run: Callable[[Harness], Awaitable[None]]) -> Check:
    rule = run.__name__.replace("_", "-")
    return Check(rule, " ".join((run.__doc__ or "").split()), run)


CHECKS: tuple[Check, ...] = tuple(
    map(
        _check,
        (
            quoting.capabilities_are_true,
            quoting.quote_answers_the_request,
            quoting.quote_is_in_base_units,
            quoting.bounds_follow_slippage,
            quoting.larger_gives_no_less,
            quoting.modes_agree,
            quoting.impact_is_told,
            quoting.deadline_is_obeyed,
            quoting.only_known_errors_escape,
            quoting.quotes_are_independent,
            settling.expired_quote_is_refused,
            settling.explain_never_raises,
            settling.fill_equals_quote,
            settling.bounds_hold_on_chain,
        ),
    )
)


async def report(harness: Harness, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Every rule's result, in order. Whatever an adapter raises is that rule's failure, and the next one is tried."""
    return [await _result(check, harness) for check in checks]


async def _result(check: Check, harness: Harness) -> Result:
    [raised] = await asyncio.gather(check(harness), return_exceptions=True)
    if raised is None:
        return Result(check.rule, check.promise, Verdict.OK, "")
    if isinstance(raised, NotApplicable):
        return Result(check.rule, check.promise, Verdict.SKIPPED, str(raised))
    detail = raised.detail if isinstance(raised, ContractViolation) else f"the check met {describe(raised)}"
    return Result(check.rule, check.promise, Verdict.FAIL, detail)
