"""The oracle of the real program: through restarts, the end of its process, a lost Redis and a reference price."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dexexec.store import Address
from tests.support.service.client import Http, http, watching
from tests.support.service.process import QUICK, Launcher, Process
from tests.support.service.promise_checks import agree, check_promises, rows
from tests.support.waiting import until

STILL = {"DEXEXEC_MOCK_DRIFT_PPM": "0", "DEXEXEC_MOCK_OFFSET_PPM": "0", "DEXEXEC_ORACLE_INTERVAL_MS": "50"}
"""Prices that only the test moves: 150 dollars for a SOL, less the venue's fee."""
LEASES = {"DEXEXEC_LEASE_SECONDS": "1", "DEXEXEC_HEARTBEAT_SECONDS": "0.1", "DEXEXEC_SWEEP_SECONDS": "0.2"}
TRIGGERED = "SELECT o.id, o.type FROM orders o JOIN order_events e ON e.order_id = o.id WHERE e.detail ? 'triggered'"
CONFIRMED = "confirmed"


class Market:
    """The files that move the mock prices, and the reference beside them."""

    def __init__(self, folder: Path) -> None:
        self.prices = folder / "prices"
        self.reference = folder / "reference"

    @property
    def settings(self) -> dict[str, str]:
        return {"DEXEXEC_MOCK_PRICE_FILE": str(self.prices), "DEXEXEC_MOCK_REFERENCE_FILE": str(self.reference)}

    @staticmethod
    def set(path: Path, multiple: float) -> None:
        """Set a file's number. Replaced, so that no process reads a half of it."""
        other = path.with_suffix(".new")
        other.write_text(str(multiple))
        other.replace(path)

    def move(self, multiple: float) -> None:
        """Set the prices of all venues, as a multiple of their usual ones."""
        self.set(self.prices, multiple)


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return Market(tmp_path)


@pytest.fixture
def launcher(given: dict[str, str], market: Market) -> Iterator[Launcher]:
    with Launcher(**given, **QUICK, **STILL, **market.settings) as launcher:
        yield launcher


async def post(calls: Http, service: Process, **fields: object) -> str:
    answer = await calls.post(service.url, {"side": "buy", "amount": "1", **fields})
    assert answer.status == 202, answer
    return str(answer.body["orderId"])


async def read(calls: Http, service: Process, order_id: str) -> dict[str, Any]:
    return dict((await calls.get(f"{service.url}/api/orders/{order_id}")).body)


async def ended(calls: Http, service: Process, order_id: str) -> dict[str, Any]:
    """The order once it is filled."""

    async def found() -> dict[str, Any] | None:
        order = await read(calls, service, order_id)
        return order if order["status"] == CONFIRMED else None

    order: dict[str, Any] = await until(found, pause=0.05)
    return order


def triggers(order: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in order["events"] if "triggered" in event]


def high_water(address: Address, order_id: str) -> float:
    """The mark of a trailing stop: 0 before its first quote."""
    [row] = rows(address, "SELECT coalesce(high_water, 0) AS mark FROM orders WHERE id = %s", [order_id])
    return float(str(row["mark"]))


async def test_a_limit_order_is_filled_when_its_price_comes(launcher: Launcher, market: Market) -> None:
    service = launcher.start()
    service.ready()
    async with http() as calls:
        order_id = await post(calls, service, type="limit", limitPrice="160")
        market.move(1.1)
        order = await ended(calls, service, order_id)
        assert len(triggers(order)) == 1
        # Never worse than its limit, which is 160 dollars for one SOL.
        assert int(order["amountOut"]) >= 160_000_000


async def test_promise_20_a_trailing_stop_goes_on_from_its_mark_after_a_restart(
    launcher: Launcher, market: Market, database_address: Address
) -> None:
    service = launcher.start()
    service.ready()
    async with http() as calls:
        order_id = await post(calls, service, trailBps=500)
        market.move(1.2)
        await until(lambda: high_water(database_address, order_id) > 0.175, pause=0.02)
        mark = high_water(database_address, order_id)
        service.kill()
        # Nine tenths of the mark: the stop is reached at 95 %, and a service that had forgotten it would begin anew.
        market.move(1.08)
        service = launcher.start()
        service.ready()
        order = await ended(calls, service, order_id)
        [event] = triggers(order)
        assert float(event["triggered"]["bestPrice"]) == pytest.approx(mark * 1000, rel=1e-6)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_promise_20_another_worker_takes_over_from_one_that_died_or_hangs_and_triggers_each_order_once(
    launcher: Launcher, market: Market, database_address: Address, fault: signal.Signals
) -> None:
    leader = launcher.start("worker", **LEASES)
    await asyncio.to_thread(leader.logged, "worker started")  # the lowest id of all
    api, other = launcher.start("api"), launcher.start("worker", **LEASES)
    await asyncio.to_thread(lambda: (api.url, other.logged("worker started")))
    limit = {"type": "limit", "limitPrice": "165"}
    stop = {"triggerPrice": "130", "triggerWhen": "below"}
    async with http() as calls, asyncio.timeout(50):
        order_ids = [await post(calls, api, **order) for order in [limit] * 12 + [stop] * 6]
        leader.send(fault)
        async with watching(lambda: api.url, order_ids) as watch:
            market.move(1.2)
            await watch.reach(lambda w: len(w.at(CONFIRMED)) == 12)
            assert {str(row["type"]) for row in rows(database_address, TRIGGERED)} == {"limit"}
            market.move(0.8)
        if fault is signal.SIGSTOP:
            # Awake again, it leads for a moment as it believes, with old prices in mind.
            leader.send(signal.SIGCONT)
            order_ids.append(await post(calls, api, type="limit", limitPrice="100"))
            async with watching(lambda: api.url, order_ids[-1:]):
                pass
    assert check_promises(database_address, order_ids).statuses == {CONFIRMED: len(order_ids)}
    agree(watch.events, database_address)
    assert sorted(str(row["id"]) for row in rows(database_address, TRIGGERED)) == sorted(order_ids), "each once"


async def test_promise_20_a_lost_redis_loses_no_trigger(
    launcher: Launcher, market: Market, given: dict[str, str], redis_prefix: str
) -> None:
    service = launcher.start()
    service.ready()
    async with http() as calls:
        orders = [await post(calls, service, type="limit", limitPrice="160") for _ in range(20)]
        market.move(1.2)
        with redis.Redis.from_url(given["REDIS_URL"]) as client:
            for key in client.scan_iter(f"*{redis_prefix}*"):
                client.delete(key)
        for order_id in orders:
            assert len(triggers(await ended(calls, service, order_id))) == 1


async def test_nothing_is_triggered_while_the_reference_is_elsewhere(launcher: Launcher, market: Market) -> None:
    market.set(market.reference, 1.1)
    service = launcher.start(DEXEXEC_ORACLE="mock-market", DEXEXEC_ORACLE_MAX_DEVIATION_BPS="300")
    service.ready()
    async with http() as calls:
        order_id = await post(calls, service, type="limit", limitPrice="140")

        async def held() -> bool:
            return bool((await read(calls, service, order_id))["waitingFor"]["reason"] == "reference")

        await until(held, pause=0.05)
        market.set(market.reference, 1.0)
        order = await ended(calls, service, order_id)
        assert [event.get("waitsFor") for event in order["events"][1:4]] == ["price", "reference", None]
        assert "referencePrice" in order["events"][2]["reference"]
        assert len(triggers(order)) == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mock-marked", "did you mean mock-market?"), ("nowhere:Nothing", "cannot be loaded"), ("json:dumps", "subclass")],
)
def test_a_reference_that_does_not_exist_is_an_error_of_one_line(launcher: Launcher, name: str, hint: str) -> None:
    service = launcher.start(DEXEXEC_ORACLE=name)
    assert service.wait() != 0
    assert hint in service.err
    assert "Traceback" not in service.err
