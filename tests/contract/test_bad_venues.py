"""The contract catches what it is there for: for each rule, an adapter that breaks it, and nothing but it."""

from typing import Any

import pytest

from dexexec.testing import harness
from dexexec.testing.contract import CHECKS, ContractViolation, Verdict, report
from dexexec.testing.harness import Harness
from dexexec.venue import Venue
from tests.support.bad_venues import BROKEN


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that hangs is given up sooner: nothing here takes real time unless it hangs."""
    monkeypatch.setattr(harness, "PATIENCE", 0.5)


@pytest.mark.parametrize(("venue_class", "rule"), BROKEN.items(), ids=lambda value: getattr(value, "name", value))
async def test_exactly_the_broken_rule_is_caught(venue_class: type[Venue[Any]], rule: str) -> None:
    results = await report(Harness(venue_class))
    assert {result.rule: result.detail for result in results if result.verdict is Verdict.FAIL}.keys() == {rule}
    [check] = [check for check in CHECKS if check.rule == rule]
    with pytest.raises(ContractViolation) as violation:
        await check(Harness(venue_class))
    assert violation.value.rule == rule
    assert violation.value.detail


def test_every_rule_has_an_adapter_that_breaks_it() -> None:
    assert set(BROKEN.values()) == {check.rule for check in CHECKS}
