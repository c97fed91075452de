"""What a measured load includes: the work for its orders, and none of the benchmark's own."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from dexexec.bench import load_run
from dexexec.bench.database import OrderCounts
from dexexec.bench.profile import QUICK

SINCE = datetime(2026, 1, 31, tzinfo=UTC)
COUNTS = OrderCounts(orders=10, confirmed=10, unfinished=0, seconds=1.0, finished=10, created=10)


class FakeSandbox:
    """A sandbox, its database, its load client and its processes in one, which notes in which order they are used."""

    address = None
    redis_url = ""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.database = self.load = self.processes = self

    def now(self) -> datetime:
        return SINCE

    def wal_bytes(self) -> int:
        self.steps.append("log")
        return 0

    def counts(self, since: datetime, _: float) -> OrderCounts:
        assert since == SINCE
        self.steps.append("count")
        return COUNTS

    def all_ended(self) -> bool:
        return True

    def wait(self, *_: object) -> None:
        self.steps.append("drain")

    def run_job(self, *_: object, **__: object) -> dict[str, Any]:
        self.steps.append("load")
        return {}


class FakeService:
    url = "http://127.0.0.1:1"

    def pids(self) -> dict[str, list[int]]:
        return {}


def test_the_statement_that_counts_orders_is_no_part_of_the_measured_load(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = FakeSandbox()

    class FakeMeter:
        def __init__(self, _: object) -> None:
            sandbox.steps.append("meter")

        def read(self) -> dict[str, float]:
            sandbox.steps.append("cpu")
            return {}

    monkeypatch.setattr(load_run, "CpuMeter", FakeMeter)
    monkeypatch.setattr(load_run, "server_pids", lambda *_: {})
    load_run.run_load(cast("Any", sandbox), cast("Any", FakeService()), QUICK, "closed_loop", seconds=1.0)
    assert sandbox.steps == ["drain", "meter", "log", "load", "drain", "cpu", "log", "count"]
