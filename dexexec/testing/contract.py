"""The adapter contract: a list of checks for any test runner, and a report for people.

A check is awaited with a `Harness`. It raises `ContractViolation` when the adapter breaks the rule, and `NotApplicable`
when the rule does not apply to this adapter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dexexec.testing import launching, quoting, settling
from dexexec.testing.harness import Harness, NotApplicable, RuleBroken, describe


class ContractViolation(AssertionError):  # noqa: N818
    """An adapter breaks `rule`. `detail` is what it did, and what is required."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: its name, its text, and the code that checks it."""

    rule: str
    promise: str
    run: Callable[[Harness], Awaitable[None]]

    async def __call__(self, harness: Harness) -> None:
        """Check the rule. Raises `ContractViolation` or `NotApplicable`."""
        try:
            await self.run(harness)
        except RuleBroken as error:
            raise ContractViolation(self.rule, str(error)) from None


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    FAIL = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the report. `detail` is empty when the rule is kept."""

    rule: str
    promise: str
    verdict: Verdict
    detail: str


def _check(run: Callable[[Harness], Awaitable[None]]) -> Check:
    # The name and docstring of the function are the rule's name and text in reports.
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
            launching.reported_pools_are_true,
            settling.expired_quote_is_refused,
            settling.explain_never_raises,
            settling.fill_equals_quote,
            settling.bounds_hold_on_chain,
        ),
    )
)


async def report(harness: Harness, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """The results of all rules, in order. An exception of the adapter fails its rule, and the next rule is checked."""
    return [await _result(check, harness) for check in checks]


async def _result(check: Check, harness: Harness) -> Result:
    # gather returns every exception, also a BaseException, which `except Exception` would let through.
    [raised] = await asyncio.gather(check(harness), return_exceptions=True)
    if raised is None:
        return Result(check.rule, check.promise, Verdict.OK, "")
    if isinstance(raised, NotApplicable):
        return Result(check.rule, check.promise, Verdict.SKIPPED, str(raised))
    detail = raised.detail if isinstance(raised, ContractViolation) else f"the check failed with {describe(raised)}"
    return Result(check.rule, check.promise, Verdict.FAIL, detail)
