"""The parameters of `GET /api/costs` are read exactly, and every bad one is named with what would be right."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dexexec.api.costs import THE_BEGINNING, costs_json, read_query, read_time
from dexexec.domain.cost import CostSum
from dexexec.errors import InvalidQueryError
from dexexec.store import CostQuery, CostReport, GroupBy

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def query(**parameters: str | list[str]) -> CostQuery:
    """A query with these parameters, of which each may be given several times."""
    lists = {name: [value] if isinstance(value, str) else value for name, value in parameters.items()}
    return read_query({name: [value.encode() for value in values] for name, values in lists.items()})


def problems(**parameters: str | list[str]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidQueryError) as refused:
        query(**parameters)
    assert all(problem.expected for problem in refused.value.fields)
    return [(problem.field, problem.problem) for problem in refused.value.fields]


def test_without_parameters_all_costs_are_summed_up_to_now() -> None:
    assert query() == CostQuery(since=THE_BEGINNING, until=None, group_by=())


def test_days_begin_at_midnight_in_utc_and_times_have_their_zone() -> None:
    found = query(since="2026-01-01", until="2026-01-01T02:00:00.000001+01:00")
    assert found == CostQuery(since=JANUARY, until=JANUARY + timedelta(hours=1, microseconds=1), group_by=())
    assert read_time("2026-01-01T00:00Z") == JANUARY
    assert read_time("2026-01-01T05:30:00+05:30") == JANUARY.astimezone(timezone(timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "2026-02-30", "20260101", "2026-W01-1", "2026-01-01T00:00:00", "1767225600",
     "2026-01-01 00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-01-01T24:00:01Z",
     "٢٠٢٦-01-01", "2026-01-01\n"],
)  # fmt: skip
def test_other_texts_are_no_times(text: str) -> None:
    assert problems(since=text) == [("since", "is not a day or a time with a zone")]
    assert problems(until=text) == [("until", "is not a day or a time with a zone")]


def test_a_plus_that_arrived_as_a_space_is_explained() -> None:
    with pytest.raises(InvalidQueryError) as refused:
        query(since="2026-01-01T00:00:00 01:00")
    assert "%2B" in refused.value.fields[0].expected


def test_groups_are_read_in_any_order() -> None:
    assert query(groupBy="day,venue").group_by == (GroupBy.DAY, GroupBy.VENUE)
    assert query(groupBy="tag").group_by == (GroupBy.TAG,)


@pytest.mark.parametrize("text", ["", "month", "venue,", "Venue", "venue, day", "venue;day"])
def test_other_groups_are_refused(text: str) -> None:
    assert problems(groupBy=text) == [("groupBy", "is not a known group")]


def test_every_bad_parameter_is_named() -> None:
    assert problems(since="x", groupBy="venue,venue", sinze="2026-01-01", until=["2026-01-01", "2026-01-02"]) == [
        ("since", "is not a day or a time with a zone"),
        ("groupBy", "has a group twice"),
        ("sinze", "is not a parameter of costs"),
        ("until", "is given more than once"),
    ]


def test_a_time_must_not_be_empty() -> None:
    assert problems(since="2026-01-02", until="2026-01-02") == [("until", "is not after since")]


def test_the_answer_says_where_to_continue_to_the_microsecond() -> None:
    report = CostReport(
        until=JANUARY + timedelta(microseconds=7), more=True, groups=[({GroupBy.TAG: None}, CostSum(swaps=2))],
        total=CostSum(swaps=3), groups_omitted=1, mints_omitted=False,
    )  # fmt: skip
    found = costs_json(query(groupBy="tag"), report)
    assert (found["since"], found["next"]) == ("1970-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000007Z")
    assert found["until"] == found["next"]
    assert (found["groupsOmitted"], found["mintsOmitted"]) == (1, False)
    assert found["groups"] == [{"tag": None, **CostSum(swaps=2).detail()}]
    assert found["total"] == CostSum(swaps=3).detail()
    assert read_time(str(found["next"])) == report.until


def test_without_groups_there_is_a_total_only() -> None:
    report = CostReport(until=JANUARY, more=False, groups=[], total=CostSum(), groups_omitted=0, mints_omitted=False)
    found = costs_json(query(), report)
    assert found["next"] is None
    assert "groups" not in found
