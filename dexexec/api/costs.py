"""Sums of what orders cost: `GET /api/costs`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dexexec.api.handler import ApiHandler
from dexexec.api.query import BadValueError, Parameter, Query
from dexexec.errors import FieldProblem
from dexexec.intake.field_types import TIME, Schema
from dexexec.store import CostQuery, CostReport, GroupBy

EXPECTED_TIME = "a UTC day such as 2026-01-31, or a time with a zone such as 2026-01-31T12:00:00Z"
EXPECTED_GROUPS = f"one or more of {', '.join(GroupBy)}, separated by commas"
THE_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""The record has nothing from before."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(TIME, re.ASCII)


def parse_time(text: str) -> datetime:
    """The time in a parameter. Raises `BadValueError`."""
    at = read_time(text)
    if at is None:
        raise BadValueError("is not a day or a time with a zone", _expected_time(text))
    return at


def _parse_groups(text: str) -> tuple[GroupBy, ...]:
    found = tuple(key for part in text.split(",") for key in GroupBy if key == part)
    if len(found) != len(text.split(",")):
        raise BadValueError("is not a known group")
    if len(set(found)) != len(found):
        raise BadValueError("has a group twice")
    return found


TIME_RULE: Schema = {
    "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time", "pattern": TIME}]
}
SINCE = Parameter(
    name="since",
    description="Attempts that were proven from this UTC day or time on. By default from the beginning.",
    rule=TIME_RULE,
    expected=EXPECTED_TIME,
    parse=parse_time,
)
UNTIL: Parameter[datetime | None] = Parameter(
    name="until",
    description="Attempts that were proven before this UTC day or time. By default until now.",
    rule=TIME_RULE,
    expected=EXPECTED_TIME,
    parse=parse_time,
)
GROUP_BY = Parameter(
    name="groupBy",
    description="What the sums are grouped by, separated by commas. Without it, only `total`.",
    rule={
        "type": "array",
        "items": {"type": "string", "enum": [key.value for key in GroupBy]},
        "minItems": 1,
        "uniqueItems": True,
    },
    expected=EXPECTED_GROUPS,
    parse=_parse_groups,
)
PARAMETERS = (SINCE, UNTIL, GROUP_BY)


class CostsHandler(ApiHandler):
    """`GET /api/costs`."""

    async def get(self) -> None:
        """The sums of a time, for each group and in all."""
        query = replace(read_query(self.request.query_arguments), owner=self.caller.sees)
        async with self.reading(self.api.lists):
            report = await self.api.history.costs(query)
        self.answer(costs_json(query, report))

    head = get


def read_query(arguments: Mapping[str, Sequence[bytes]]) -> CostQuery:
    """The query of a request. Raises `InvalidQueryError` with every bad parameter."""
    query = Query(arguments, PARAMETERS, "is not a parameter of costs")
    since, until = query.get(SINCE, THE_BEGINNING), query.get(UNTIL, None)
    if not query.problems and until is not None and until <= since:
        query.problems.append(FieldProblem("until", "is not after since", "a later time than since"))
    query.check()
    return CostQuery(since=since, until=until, group_by=query.get(GROUP_BY, ()))


def read_time(text: str) -> datetime | None:
    """A day, which begins at midnight UTC, or an RFC 3339 time; None for anything else."""
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        return datetime.fromisoformat(text).astimezone(UTC) if _TIME.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def costs_json(query: CostQuery, report: CostReport) -> dict[str, object]:
    """The answer. Times have microseconds: they are exactly where the sums begin and end."""
    answer: dict[str, object] = {
        "since": _exact(query.since),
        "until": _exact(report.until),
        "next": _exact(report.until) if report.more else None,
        "total": report.total.detail(),
    }
    if query.group_by:
        answer["groups"] = [
            {**{key.value: value for key, value in keys.items()}, **total.detail()} for keys, total in report.groups
        ]
        answer["groupsOmitted"] = report.groups_omitted
    answer["mintsOmitted"] = report.mints_omitted
    return answer


def _exact(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _expected_time(text: str) -> str:
    # A plus sign in a query is a space, which is easily overlooked.
    return f"{EXPECTED_TIME}; + is written %2B" if " " in text else EXPECTED_TIME
