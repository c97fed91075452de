"""Figures that can be trusted: percentiles, shares, and counts that must agree with the record."""

import argparse
import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from rich.console import Console

from dexexec.bench import measure
from dexexec.bench.client import percentiles
from dexexec.bench.database_checks import Outcome
from dexexec.bench.plan import FOREIGN_PARTS, PARTS, QUICK, Plan
from dexexec.bench.report import Report
from dexexec.bench.scenarios.registry import PARTS_BY_NAME
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
OUTCOME = Outcome(orders=100, confirmed=100, unfinished=0, seconds=4.0, finished=60, created=100)
GOOD = measure.Measured(ANSWER, OUTCOME, SINCE, 800_000, {"dexexec all": 0.05, "postgres": 0.02})


@dataclass
class BenchSandbox:
    """A database check with prepared results."""

    twos: tuple[int, int, int] = (0, 0, 0)

    @property
    def record(self) -> "BenchSandbox":
        return self

    def doubles(self, _: datetime) -> tuple[int, int, int]:
        return self.twos


def checked(found: measure.Measured, twos: tuple[int, int, int] = (0, 0, 0)) -> Report:
    report, sandbox = Report(), cast("Any", BenchSandbox(twos))
    measure.check(report, sandbox, "here", found)
    return report


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles.summary([]) == {"count": 0, "p50": None, "p99": None, "p999": None, "max": None}
    assert percentiles.summary([0.003]) == {"count": 1, "p50": 3.0, "p99": 3.0, "p999": 3.0, "max": 3.0}
    hundred = [n / 1000 for n in range(100, 0, -1)]
    assert percentiles.summary(hundred) == {"count": 100, "p50": 50.0, "p99": 99.0, "p999": 100.0, "max": 100.0}


def test_rates_are_of_the_window_and_of_the_whole_way() -> None:
    assert GOOD.accepted == 45.0
    assert GOOD.outcome.rate == 25.0
    assert GOOD.cpu_per_order == pytest.approx(0.5), "only our own processes"
    assert GOOD.details()["walBytesPerOrder"] == 8_000


def test_counts_that_agree_are_no_fault() -> None:
    report = checked(GOOD)
    assert (report.faults, report.notes) == ([], [])


@pytest.mark.parametrize(
    ("answer", "outcome"),
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
def test_what_does_not_agree_is_a_fault(answer: dict[str, Any], outcome: dict[str, Any]) -> None:
    report = checked(replace(GOOD, answer=ANSWER | answer, outcome=replace(OUTCOME, **outcome)))
    assert len(report.faults) == 1


def test_an_order_whose_answer_was_lost_may_be_on_record() -> None:
    found = replace(GOOD, answer=ANSWER | {"unanswered": 2}, outcome=replace(OUTCOME, orders=102, confirmed=102))
    assert checked(found).faults == ["here: 2 requests were not answered"]


@pytest.mark.parametrize("twos", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["a swap too many", "landed twice", "a gap"])
def test_a_double_is_a_fault(twos: tuple[int, int, int]) -> None:
    assert len(checked(GOOD, twos).faults) == 1


def test_a_refusal_and_a_busy_client_are_notes() -> None:
    report = checked(replace(GOOD, answer=ANSWER | {"statuses": {"202": 100, "503": 7}, "clientCpu": 0.95}))
    assert report.faults == []
    assert [note.partition(":")[0] for note in report.notes] == ["here", "here"]


def test_a_figure_is_also_a_share_of_its_limit() -> None:
    report = Report()
    report.add("a.fast", "the limit", 4_000.0, "orders/s")
    report.add("b.ours", "ours", 1_000.0, "orders/s", "a.fast")
    report.add("b.unknown", "not measured", None, "ms", "a.fast")
    report.add("b.alone", "without its limit", 3.0, "ms", "c.missing")
    assert [report.share(figure) for figure in report.figures] == [None, 0.25, None, None]
    told: Any = report.document({"quick": True})
    assert told["quick"] is True
    assert told["figures"][1] == {
        "key": "b.ours", "name": "ours", "value": 1_000.0, "unit": "orders/s", "limit": "a.fast", "share": 0.25,
    }  # fmt: skip
    report.faults.append("something is wrong")
    out = io.StringIO()
    report.show(Console(file=out, width=200))
    for said in ("25% of the limit", "1,000", "n/a", "FAULT: something is wrong"):
        assert said in out.getvalue()


def test_every_part_is_there_and_the_short_form_is_shorter() -> None:
    assert set(PARTS_BY_NAME) == set(PARTS) > set(FOREIGN_PARTS)
    full = Plan()
    for name in ("window_seconds", "rate_seconds", "history_orders", "idle_sockets", "intake_seconds"):
        assert getattr(QUICK, name) < getattr(full, name)


def test_parts_are_named_one_by_one() -> None:
    assert parser().parse_args(["bench", "--only", "latency, fanout"]).only == ("latency", "fanout")
    with pytest.raises(SystemExit):
        parser().parse_args(["bench", "--only", "speed"])


def test_an_unknown_part_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parser().parse_args(["bench", "--only", "speed"])
    said = " ".join(capsys.readouterr().err.split())
    assert "speed is no part" in said
    assert "throughput" in said
