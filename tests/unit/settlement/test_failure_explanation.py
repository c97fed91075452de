"""The reason of a failed swap: the venue explains it, and no fault of the venue hides the failure."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.swap import (
    ProgramFailure,
)
from dexexec.venue import Slippage
from tests.support.scripted_settlement import FAILED, ScriptedSettlement


class Panic(BaseException):
    """As the panics of libraries in Rust are: no `Exception`."""


class Unprintable(Slippage):
    """An error whose text is an error."""

    def __str__(self) -> str:
        raise RuntimeError


def raising_at_once(error: BaseException) -> Callable[..., object]:
    """A function, not a coroutine, that fails with `error`."""

    def fail(*_: object) -> object:
        raise error

    return fail


async def test_the_venue_explains_the_failure_of_its_program() -> None:
    scripted = ScriptedSettlement(
        replace(
            FAILED,
            code="program-error",
            failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005"),
        )
    )
    scripted.venue.explain = (  # type: ignore[method-assign]
        lambda failure: Slippage("too little") if failure.custom == 6005 else None
    )
    assert (await scripted.settle()).reason == "slippage"


@pytest.mark.parametrize(
    "explain",
    [
        raising_at_once(ZeroDivisionError()),
        raising_at_once(Panic()),
        lambda _: "words",
        lambda _: Unprintable(),
        lambda _: object(),
    ],
    ids=["raises", "panics", "text", "unprintable", "object"],
)
async def test_a_broken_explanation_of_a_venue_does_not_hide_the_failure(explain: Any) -> None:
    scripted = ScriptedSettlement(
        replace(FAILED, failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005"))
    )
    scripted.venue.explain = explain  # type: ignore[method-assign]
    result = await scripted.settle()
    assert (result.outcome, result.reason) == ("failed", "slippage")
    assert result.detail.removeprefix("Unprintable ").strip("()") == "moved"


async def test_an_unknown_reason_of_a_venue_becomes_that_of_its_base_class() -> None:
    class Greed(Slippage):
        code = "nul\0 and worse"

    scripted = ScriptedSettlement(
        replace(
            FAILED,
            code="program-error",
            failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005"),
        )
    )
    scripted.venue.explain = lambda failure: Greed("too little")  # type: ignore[method-assign]
    assert (await scripted.settle()).reason == "slippage"


async def test_without_the_venue_a_failure_keeps_the_reason_of_the_chain() -> None:
    scripted = ScriptedSettlement(
        replace(FAILED, failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005"))
    )
    scripted.venue = None  # type: ignore[assignment]
    assert (await scripted.settle()).reason == "slippage"
