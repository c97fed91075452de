"""The entry points, health and problems."""

from typing import Literal

from pydantic import ConfigDict

from dexexec.api.contract.answer import (
    Answer,
    Milliseconds,
    OrderId,
    absent,
)


class FrontPage(Answer):
    """The entry points."""

    model_config = ConfigDict(extra="allow")

    service: Literal["dexexec"]
    version: str
    execute: str


class Alive(Answer):
    """The process runs."""

    status: Literal["alive"]


class Readiness(Answer):
    """Whether an order posted now would be executed. `degraded`: it would have to wait, for `causes`."""

    status: Literal["ready", "degraded", "not ready"]
    checks: dict[str, bool]
    missing: list[str]
    causes: dict[str, str]
    age_ms: Milliseconds


class ProblemField(Answer):
    """A field or parameter that is wrong: what is wrong with it, and what would be right."""

    field: str
    """Empty for the whole body."""
    problem: str
    expected: str


class Problem(Answer):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    """Stable: write code against it."""
    title: str
    status: int
    detail: str
    """For people."""
    instance: str
    """The request's id."""
    errors: list[ProblemField] = absent()
    retry_after_ms: Milliseconds = absent()
    order_id: OrderId = absent()


class ProblemExplanation(Answer):
    """What a problem means, and whether repeating the request can help."""

    type: str
    title: str
    status: int
    retryable: bool
    meaning: str
