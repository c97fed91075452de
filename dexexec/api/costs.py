"""Sums of what orders cost: `GET /api/costs`."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from dexexec.api.handler import ApiHandler
from dexexec.errors import FieldProblem, InvalidQueryError
from dexexec.intake.order_fields import SHOWN, unknown_name
from dexexec.store import CostQuery, CostReport, GroupBy

PARAMETERS = ("since", "until", "groupBy")
EXPECTED_TIME = "a UTC day such as 2026-01-31, or a time with a zone such as 2026-01-31T12:00:00Z"
EXPECTED_GROUPS = f"one or more of {', '.join(GroupBy)}, separated by commas"
THE_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""The record has nothing from before."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


class CostsHandler(ApiHandler):
    """`GET /api/costs`."""

    async def get(self) -> None:
        """The sums of a time, for each group and in all."""
        query = read_query(self.request.query_arguments)
        async with self.reading(self.api.lists):
            report = await self.api.history.costs(query)
        self.answer(costs_json(query, report))

    head = get


def read_query(arguments: Mapping[str, Sequence[bytes]]) -> CostQuery:
    """The query of a request. Raises `InvalidQueryError` with every bad parameter."""
    problems: list[FieldProblem] = []
    since = THE_BEGINNING
    until = None
    group_by: tuple[GroupBy, ...] = ()
    for name, values in arguments.items():
        text = values[0].decode("utf-8", "replace")
        if name not in PARAMETERS:
            problems.append(unknown_name(name, PARAMETERS, "is not a parameter of costs"))
        elif len(values) > 1:
            problems.append(FieldProblem(name, "is given more than once", "each parameter once"))
        elif name == "groupBy":
            found = [key for part in text.split(",") for key in GroupBy if key == part]
            group_by = tuple(found)
            if len(found) != len(text.split(",")):
                problems.append(FieldProblem(name, "is not a known group", EXPECTED_GROUPS))
            elif len(set(found)) != len(found):
                problems.append(FieldProblem(name, "has a group twice", EXPECTED_GROUPS))
        elif (at := read_time(text)) is None:
            problems.append(FieldProblem(name, "is not a day or a time with a zone", _expected_time(text)))
        elif name == "since":
            since = at
        else:
            until = at
    if not problems and until is not None and until <= since:
        problems.append(FieldProblem("until", "is not after since", "a later time than since"))
    if problems:
        raise InvalidQueryError(problems[:SHOWN])
    return CostQuery(since=since, until=until, group_by=group_by)


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
