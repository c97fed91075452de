"""Reads the answer to a refused request into the error of its problem type. Pure."""

import json
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from dexexec.client.errors import one_line
from dexexec.client.problem_types import BY_CODE, BY_STATUS
from dexexec.client.problems import InternalError, Problem, ProblemError
from dexexec.errors import FieldProblem

PREFIX = "/problems/"
LONGEST_WAIT = 3600.0
"""A longer Retry-After (seconds) is cut to this."""
_STANDARD = frozenset({"type", "title", "status", "detail", "instance", "errors", "retryAfterMs", "orderId"})


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> ProblemError:
    """The error for an answer of `status`. A body that is no problem document, as a proxy sends it, is left out."""
    return _problem(status, headers, json_object(body))


def problem_of(document: Mapping[str, object]) -> ProblemError:
    """The error of a problem document that is a part of an answer."""
    status = document.get("status")
    return _problem(status if isinstance(status, int) else 0, {}, document)


def _problem(status: int, headers: Mapping[str, str], document: Mapping[str, object]) -> ProblemError:
    code = str(document.get("type", "")).removeprefix(PREFIX)
    # The type before the status: a proxy may change a status, and programs are written against the type.
    error = BY_CODE.get(code) or class_of(status)
    order_id = document.get("orderId")
    return error(
        Problem(
            code=one_line(code) or error.code,
            status=status,
            title=one_line(str(document.get("title") or "")),
            detail=one_line(str(document.get("detail") or "")),
            fields=_fields(document.get("errors")),
            retry_after=_retry_after(headers, document),
            order_id=order_id if isinstance(order_id, str) else None,
            request_id=one_line(str(document.get("instance") or headers.get("x-request-id") or "")) or None,
            about=MappingProxyType({name: value for name, value in document.items() if name not in _STANDARD}),
        )
    )


def class_of(status: int) -> type[ProblemError]:
    """The class of a status whose problem type is not known."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    # Some statuses have one problem type only. Its class fits any other problem of that status as well.
    same = [error for error in BY_CODE.values() if error.status == status]
    return same[0] if same else InternalError if status >= 500 else ProblemError


def json_object(text: str | bytes) -> dict[str, object]:
    """The JSON object in `text`, or an empty one for anything else."""
    try:
        value = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _fields(errors: object) -> tuple[FieldProblem, ...]:
    listed = errors if isinstance(errors, list) else []
    return tuple(
        FieldProblem(*(one_line(str(error.get(name) or "")) for name in ("field", "problem", "expected")))
        for error in listed
        if isinstance(error, dict)
    )


def _retry_after(headers: Mapping[str, str], document: Mapping[str, object]) -> float | None:
    """Seconds until a repetition may help; None if the answer has no such time."""
    # `retryAfterMs` is more exact than the header, which has whole seconds.
    exact = document.get("retryAfterMs")
    # An exact type: True would pass as a millisecond.
    if type(exact) is int and exact >= 0:
        return min(exact / 1000, LONGEST_WAIT)
    header = headers.get("retry-after", "")
    return min(float(header), LONGEST_WAIT) if header.isascii() and header.isdigit() and len(header) < 10 else None
