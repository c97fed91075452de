"""No condition writes the same line without a limit, and what is left out is counted."""

import io
import json
import logging
import os
import sys
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from dexexec.observe.log import make_logger, open_log
from dexexec.observe.log_output import ThreadedWriter
from dexexec.observe.log_sampling import LINES, SECONDS, TRACEBACK, Sampler
from dexexec.observe.observer import Observer
from dexexec.observe.redaction import Redactor


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_so_many_lines_of_a_kind_pass_in_a_period_and_the_rest_is_counted() -> None:
    sampler = Sampler(clock := Seconds())
    assert [sampler.admit("a") for _ in range(LINES + 3)] == [True] * LINES + [False] * 3
    assert sampler.admit("b"), "of another kind"
    assert sampler.due() == []
    clock.now += SECONDS
    assert sampler.due() == [("a", 3)]
    assert sampler.due() == []
    assert sampler.admit("a"), "in a new period"


def test_a_flood_does_not_delay_its_report() -> None:
    sampler = Sampler(clock := Seconds())
    for _ in range(LINES + 3):
        sampler.admit("a")
    clock.now += SECONDS
    for _ in range(LINES + 4):
        sampler.admit("a")
    assert sampler.due() == [("a", 7)]


def test_a_line_with_a_traceback_counts_as_many_and_the_first_always_passes() -> None:
    sampler = Sampler(Seconds())
    assert sum(sampler.admit("a", TRACEBACK) for _ in range(100)) == LINES // TRACEBACK
    assert sampler.admit("b", LINES * 2)


def test_promise_3_an_alarm_about_money_is_never_left_out() -> None:
    """Each names an order that needs a person's attention."""
    written = io.StringIO()
    observer = Observer(make_logger(style="json", out=written, sampler=Sampler(Seconds())))
    orders = [uuid4() for _ in range(LINES + 20)]
    alarms: list[Callable[[UUID], None]] = [
        lambda order_id: observer.duplicate_swap_landed(order_id, ["a", "b"]),
        lambda order_id: observer.fill_out_of_bounds(order_id, "venue", "a"),
        lambda order_id: observer.record_contradicts_chain(order_id, "why"),
        lambda order_id: observer.duplicate_order_found(order_id, orders[0], ended=False),
    ]
    for alarm in alarms:
        for order_id in orders:
            alarm(order_id)
    logged = [json.loads(line)["order"] for line in written.getvalue().splitlines()]
    assert logged == [str(order_id) for order_id in orders] * len(alarms)


def test_at_the_end_everything_is_reported() -> None:
    sampler = Sampler(Seconds())
    for _ in range(LINES + 1):
        sampler.admit("a")
    assert sampler.due(everything=True) == [("a", 1)]


def test_a_flood_of_refusals_hides_no_error_and_debug_is_whole() -> None:
    out = io.StringIO()
    log = make_logger("debug", "json", out=out, sampler=Sampler(Seconds()))
    for _ in range(LINES * 2):
        log.info("request refused")
        log.debug("request served")
    log.error("request refused")
    levels = [json.loads(line)["level"] for line in out.getvalue().splitlines()]
    assert [levels.count(level) for level in ("info", "debug", "error")] == [LINES, LINES * 2, 1]


@pytest.fixture
def root() -> logging.Logger:
    """The root logger, whose handlers are as before afterwards; pytest's own are not there meanwhile."""
    return logging.getLogger()


def test_the_service_samples_its_own_lines_and_those_of_libraries_and_counts_both(
    monkeypatch: pytest.MonkeyPatch, root: logging.Logger
) -> None:
    read_end, write_end = os.pipe()
    writer = ThreadedWriter(write_end)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "stderr", writer)
    log = open_log("info", "json", Redactor())
    for number in range(LINES + 5):
        log.warning("a venue is away", number=number)
        logging.getLogger("a.library").error("something %d", number)
    writer.close()
    os.close(write_end)
    with open(read_end) as found:  # noqa: PTH123 - a descriptor
        lines = found.read().splitlines()
    assert sum("a venue is away" in line for line in lines if "more like" not in line) == LINES
    assert sum("something" in line for line in lines) == LINES
    own, others = (json.loads(line) for line in lines if "more like this" in line)
    assert (own["event_left_out"], own["count"]) == ("a venue is away", 5)
    assert (others["event_left_out"].split()[0], others["count"]) == ("a.library", 5)
