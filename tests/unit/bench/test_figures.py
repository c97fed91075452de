"""The figures of the benchmark: percentiles, shares of limits, and the comparison with the database."""

import argparse
import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from rich.console import Console

from dexexec.bench import load_run
from dexexec.bench.client import percentiles
from dexexec.bench.database import OrderCounts
from dexexec.bench.profile import FULL, PARTS, QUICK, REMOTE_PARTS
from dexexec.bench.report import Report
from dexexec.bench.scenarios.catalog import SCENARIOS
from dexexec.cli.main import parser

SINCE = datetime(2026, 1, 31, tzinfo=UTC)
ANSWER: dict[str, Any] = {
    "seconds": 2.0,
    "acceptedInTime": 90,
    "accepted": 100,
    "unanswered": 0,
    "statuses": {"202": 100},
    "faults": {},
    "clientCpu": 0.2,
}
COUNTS = OrderCounts(orders=100, confirmed=100, unfinished=0, seconds=4.0, finished=60, created=100)
GOOD = load_run.LoadResult(
    answer=ANSWER, counts=COUNTS, since=SINCE, wal_bytes=800_000, cpu={"dexexec all": 0.05, "postgres": 0.02}
)


@dataclass
class FakeSandbox:
    """A sandbox whose database reports the given `duplicates`."""

    duplicates: tuple[int, int, int] = (0, 0, 0)

    @property
    def database(self) -> "FakeSandbox":
        return self

    def doubles(self, _: datetime) -> tuple[int, int, int]:
        return self.duplicates


def report_of(result: load_run.LoadResult, duplicates: tuple[int, int, int] = (0, 0, 0)) -> Report:
    report = Report()
    sandbox = cast("Any", FakeSandbox(duplicates))
    load_run.compare_with_database(report, sandbox, "here", result)
    return report


def test_percentiles_are_measured_values() -> None:
    assert percentiles.summary([]) == {"count": 0, "p50": None, "p99": None, "p999": None, "max": None}
    assert percentiles.summary([0.003]) == {"count": 1, "p50": 3.0, "p99": 3.0, "p999": 3.0, "max": 3.0}
    hundred = [n / 1000 for n in range(100, 0, -1)]
    assert percentiles.summary(hundred) == {"count": 100, "p50": 50.0, "p99": 99.0, "p999": 100.0, "max": 100.0}


def test_accepted_orders_count_in_the_window_and_confirmed_ones_until_the_end() -> None:
    assert GOOD.accepted == 45.0
    assert GOOD.counts.rate == 25.0
    assert GOOD.cpu_per_order == pytest.approx(0.5), "only our own processes"
    assert GOOD.details()["walBytesPerOrder"] == 8_000


def test_equal_counts_cause_no_fault() -> None:
    report = report_of(GOOD)
    assert (report.faults, report.notes) == ([], [])


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ({"accepted": 101}, {}),
        ({}, {"orders": 101, "confirmed": 101}),
        ({}, {"confirmed": 99, "unfinished": 1}),
        ({"unanswered": 1}, {}),
        ({"statuses": {"202": 100, "500": 1}}, {}),
        ({"faults": {"closed by the server": 1}}, {}),
    ],
    ids=["lost", "beyond what was accepted", "not confirmed", "not answered", "an error", "a broken connection"],
)
def test_each_difference_is_a_fault(answer: dict[str, Any], counts: dict[str, Any]) -> None:
    report = report_of(replace(GOOD, answer=ANSWER | answer, counts=replace(COUNTS, **counts)))
    assert len(report.faults) == 1


def test_an_order_without_an_answer_may_be_in_the_database() -> None:
    result = replace(GOOD, answer=ANSWER | {"unanswered": 2}, counts=replace(COUNTS, orders=102, confirmed=102))
    assert report_of(result).faults == ["here: 2 requests were not answered"]


@pytest.mark.parametrize(
    "duplicates", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["superfluous swap", "landed twice", "missing event"]
)
def test_a_duplicate_is_a_fault(duplicates: tuple[int, int, int]) -> None:
    assert len(report_of(GOOD, duplicates).faults) == 1


def test_a_refusal_and_a_busy_client_are_notes() -> None:
    report = report_of(replace(GOOD, answer=ANSWER | {"statuses": {"202": 100, "503": 7}, "clientCpu": 0.95}))
    assert report.faults == []
    assert [note.partition(":")[0] for note in report.notes] == ["here", "here"]


def test_a_figure_with_a_limit_has_a_share() -> None:
    report = Report()
    report.add("a.fast", "the limit", 4_000.0, "orders/s")
    report.add("b.ours", "ours", 1_000.0, "orders/s", "a.fast")
    report.add("b.unknown", "not measured", None, "ms", "a.fast")
    report.add("b.alone", "without its limit", 3.0, "ms", "c.missing")
    assert [report.share(figure) for figure in report.figures] == [None, 0.25, None, None]
    document: Any = report.document({"quick": True})
    assert document["quick"] is True
    assert document["figures"][1] == {
        "key": "b.ours", "name": "ours", "value": 1_000.0, "unit": "orders/s", "limit": "a.fast", "share": 0.25,
    }  # fmt: skip
    report.faults.append("something is wrong")
    out = io.StringIO()
    report.show(Console(file=out, width=200))
    for text in ("25% of the limit", "1,000", "n/a", "FAULT: something is wrong"):
        assert text in out.getvalue()


def test_every_part_has_a_scenario_and_the_quick_profile_is_shorter() -> None:
    assert set(SCENARIOS) == set(PARTS) > set(REMOTE_PARTS)
    for name in ("window_seconds", "rate_seconds", "history_orders", "idle_sockets", "intake_seconds"):
        assert getattr(QUICK, name) < getattr(FULL, name)


def test_only_accepts_a_list_of_parts() -> None:
    assert parser().parse_args(["bench", "--only", "latency, fanout"]).only == ("latency", "fanout")
    with pytest.raises(SystemExit):
        parser().parse_args(["bench", "--only", "speed"])


def test_the_error_for_an_unknown_part_lists_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parser().parse_args(["bench", "--only", "speed"])
    error = " ".join(capsys.readouterr().err.split())
    assert "unknown part: speed" in error
    assert "throughput" in error
