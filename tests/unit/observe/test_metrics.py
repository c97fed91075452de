"""The metrics as Prometheus reads them: of one process, and summed over several, of which some have ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import CapturingLogger

from dexexec.domain.event import Event
from dexexec.domain.stage import Stage
from dexexec.domain.status import Status
from dexexec.observe.metrics import NO_METRICS, Metrics
from dexexec.observe.metrics.exposition import FOLDER, Exposition, Fact, fold
from dexexec.observe.metrics.instruments import PrometheusInstruments
from dexexec.observe.observer import Observer

ORDER = UUID(int=7)
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Counted:
    """The metrics of this process, and their values by name and labels."""

    def __init__(self) -> None:
        instruments = PrometheusInstruments()
        self.registry: CollectorRegistry = instruments.registry
        self.metrics = Metrics(instruments)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def event(seq: int, status: Status, **detail: object) -> Event:
    return Event(order_id=ORDER, seq=seq, status=status, at=AT, detail=detail, kind="market")


def test_orders_are_counted_by_status_kind_reason_and_venue(counted: Counted) -> None:
    counted.metrics.events_committed([event(1, Status.PENDING)])
    counted.metrics.events_committed(
        [
            event(2, Status.ROUTING),
            event(3, Status.ROUTING),
            event(4, Status.FAILED, reason="no-route", venue="raydium"),
        ]
    )
    assert counted.value("dexexec_orders_accepted_total", kind="market") == 1
    assert counted.value("dexexec_order_events_total", status="routing") == 2
    ended = {"status": "failed", "kind": "market", "reason": "no-route", "venue": "raydium"}
    assert counted.value("dexexec_orders_ended_total", **ended) == 1


def test_a_reason_from_outside_does_not_make_a_series_of_its_own(counted: Counted) -> None:
    for number in range(50):
        counted.metrics.events_committed([event(2, Status.FAILED, reason=f"custom-{number}")])
    ended = {"status": "failed", "kind": "market", "reason": "other", "venue": ""}
    assert counted.value("dexexec_orders_ended_total", **ended) == 50


def test_a_confirmed_order_counts_as_ended_once_it_is_finalized(counted: Counted) -> None:
    ended = {"status": "confirmed", "kind": "market", "reason": "", "venue": "raydium"}
    counted.metrics.events_committed([event(4, Status.CONFIRMED, venue="raydium", finalized=False)])
    assert counted.value("dexexec_orders_ended_total", **ended) is None
    counted.metrics.events_committed([event(5, Status.CONFIRMED, venue="raydium", finalized=True)])
    assert counted.value("dexexec_orders_ended_total", **ended) == 1


def test_what_the_log_reports_is_counted_too(counted: Counted) -> None:
    observer = Observer(CapturingLogger(), counted.metrics)
    observer.breaker_state_changed("raydium", "open")
    observer.breaker_state_changed("raydium", "half-open")
    observer.request_refused(422, "invalid-order", ["amount"])
    observer.orders_refused(3)
    observer.duplicate_swap_landed(ORDER, ["a", "b"])
    observer.node_failed("rpc.example", "no answer")
    assert counted.value("dexexec_venue_breaker_state", venue="raydium") == 1
    assert counted.value("dexexec_venue_breaker_opened_total", venue="raydium") == 1
    assert counted.value("dexexec_requests_refused_total", problem="invalid-order", status="422") == 1
    assert counted.value("dexexec_requests_refused_total", problem="queue-full", status="503") == 3
    assert counted.value("dexexec_order_faults_total", fault="duplicate-swap") == 1
    assert counted.value("dexexec_rpc_node_up", node="rpc.example") == 0


def test_facts_are_read_beside_the_values_of_the_process(counted: Counted) -> None:
    counted.metrics.stage_ended(Stage.ROUTING, 0.02)
    fact = Fact(name="dexexec_queue_depth", about="Orders that wait.", labels=("of",), values={("a",): 3.0})
    body, content_type = Exposition(counted.registry).text([fact])
    text = body.decode()
    assert content_type.startswith("text/plain; version=")
    assert 'dexexec_queue_depth{of="a"} 3.0' in text
    assert 'dexexec_order_stage_seconds_bucket{le="0.025",stage="routing"} 1.0' in text
    assert "_created" not in text
    assert list(text_string_to_metric_families(text))


def test_without_metrics_nothing_is_counted_and_nothing_fails() -> None:
    observer = Observer(CapturingLogger())
    assert observer.metrics is NO_METRICS
    observer.breaker_state_changed("raydium", "open")
    observer.metrics.stage_ended(Stage.ROUTING, 0.02)


# Several processes

CHILD = """
import os, sys
from dexexec.observe.metrics import Metrics
from dexexec.observe.metrics.instruments import PrometheusInstruments
metrics = Metrics(PrometheusInstruments())
for _ in range(int(sys.argv[1])):
    metrics.claim_lost()
    metrics.batch_written("steps", 3, 0.002)
metrics.worker_seen(int(sys.argv[1]), 8)
print(os.getpid(), flush=True)
sys.stdin.read()
os._exit(9)
"""


class Children:
    """Processes that share a folder. `end` ends one as SIGKILL does: without any of its exit handlers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[int, subprocess.Popen[str]] = {}

    def start(self, count: int) -> int:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(count)],
            env={**os.environ, FOLDER: str(self.folder)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        self.running[pid] = child
        return pid

    def end(self, pid: int) -> None:
        child = self.running.pop(pid)
        child.communicate("", timeout=20)
        assert child.returncode == 9

    def read(self) -> dict[str, float]:
        text = Exposition(CollectorRegistry()).text([])[0].decode()
        families = text_string_to_metric_families(text)
        return {
            sample.name: sample.value for family in families for sample in family.samples if "le" not in sample.labels
        }


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    started = Children(tmp_path)
    yield started
    for pid in list(started.running):
        started.end(pid)


def test_several_processes_add_up_and_the_counts_of_ended_ones_stay(children: Children) -> None:
    first, second = children.start(3), children.start(4)
    seen = children.read()
    assert seen["dexexec_claims_lost_total"] == 7
    assert (seen["dexexec_commit_rows_count"], seen["dexexec_commit_rows_sum"]) == (7, 21)
    assert seen["dexexec_worker_orders_in_flight"] == 7

    children.end(first)
    fold(children.folder, first)
    children.end(second)
    fold(children.folder, second)
    fold(children.folder, second)  # nothing is counted twice
    third = children.start(5)
    seen = children.read()
    assert seen["dexexec_claims_lost_total"] == 12
    assert seen["dexexec_commit_rows_count"] == 12
    assert seen["dexexec_worker_orders_in_flight"] == 5, "a gauge is of living processes only"
    assert third in children.running
    assert len(list(children.folder.glob("counter_*.db"))) == 2, "one of all that ended, and one of the living"


def test_no_two_parts_keep_a_metric_under_the_same_name() -> None:
    # They are parts of one object: one of the two would be counted in the other's place.
    made = [vars(part)["__init__"] for part in Metrics.__bases__]
    names = [name for function in made for name in function.__code__.co_names if name.startswith("_")]
    assert len(made) >= 6
    assert sorted(names) == sorted(set(names))
