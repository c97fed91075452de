"""Resting orders in the running service: whichever worker dies, the others watch their prices and trigger each once."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dexexec.store import Address
from tests.support.service.client import http, watching
from tests.support.service.process import QUICK, Launcher
from tests.support.service.promise_checks import agree, check_promises, rows

LEASES = {"DEXEXEC_LEASE_SECONDS": "1", "DEXEXEC_HEARTBEAT_SECONDS": "0.1", "DEXEXEC_SWEEP_SECONDS": "0.2"}
LEADER = "SELECT name FROM workers WHERE lease_until > clock_timestamp() ORDER BY id LIMIT 1"
TRIGGERS = "SELECT order_id FROM order_events WHERE detail ? 'triggered'"
TRIGGERED = "SELECT o.type FROM orders o JOIN order_events e ON e.order_id = o.id WHERE e.detail ? 'triggered'"
LIMIT = {"side": "buy", "amount": "0.5", "type": "limit", "limitPrice": "165"}
STOP = {"side": "buy", "amount": "0.5", "triggerPrice": "130", "triggerWhen": "below"}


class MovablePrice:
    """The file by which all processes multiply the mock prices, which are 150 USDC and some percent around it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set("1")

    def set(self, multiple: str) -> None:
        """Replace the file at once, so that nobody reads half of it."""
        new = self._path.with_suffix(".new")
        new.write_text(multiple)
        new.replace(self._path)


@pytest.fixture
def price(tmp_path: Path) -> MovablePrice:
    return MovablePrice(tmp_path / "price")


@pytest.fixture
def launcher(given: dict[str, str], price: MovablePrice, tmp_path: Path) -> Iterator[Launcher]:
    settings = {"DEXEXEC_MOCK_PRICE_FILE": str(tmp_path / "price"), "DEXEXEC_ORACLE_INTERVAL_MS": "50"}
    with Launcher(**given, **QUICK, **settings, **LEASES) as launcher:
        yield launcher


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_promise_2_another_worker_watches_the_prices_of_one_that_died_or_hangs(
    launcher: Launcher, database_address: Address, price: MovablePrice, fault: signal.Signals
) -> None:
    api = launcher.start("api")
    workers = [launcher.start("worker") for _ in range(2)]
    await asyncio.to_thread(lambda: [api.url, *(worker.logged("worker started") for worker in workers)])
    async with http() as calls, asyncio.timeout(50):
        posted = await asyncio.gather(*(calls.post(api.url, order) for order in [LIMIT] * 12 + [STOP] * 6))
        order_ids = [str(answer.body["orderId"]) for answer in posted]
        [leader] = rows(database_address, LEADER)
        [dying] = [worker for worker in workers if f"-{worker.pid}-" in str(leader["name"])]
        dying.send(fault)
        async with watching(lambda: api.url, order_ids) as watch:
            price.set("1.2")
            await watch.reach(lambda w: len(w.at("confirmed")) == 12)
            assert Counter(str(row["type"]) for row in rows(database_address, TRIGGERED)) == {"limit": 12}
            price.set("0.8")
        if fault is signal.SIGSTOP:
            # Awake again, it believes for a moment that it leads, and has old prices in mind.
            dying.send(signal.SIGCONT)
            await asyncio.to_thread(dying.logged, "worker lost its lease")
    assert check_promises(database_address, order_ids).statuses == {"confirmed": 18}
    agree(watch.events, database_address)
    triggers = rows(database_address, TRIGGERS)
    assert Counter(str(row["order_id"]) for row in triggers) == Counter(order_ids), "each is triggered once"


async def test_promise_2_a_service_that_is_started_again_watches_what_rested(
    launcher: Launcher, database_address: Address, price: MovablePrice
) -> None:
    first = launcher.start()
    async with http() as calls, asyncio.timeout(50):
        posted = await asyncio.gather(*(calls.post(first.url, order) for order in [LIMIT] * 5 + [STOP] * 5))
        order_ids = [str(answer.body["orderId"]) for answer in posted]
        first.kill()
        price.set("0.8")
        second = launcher.start()
        async with watching(lambda: second.url, order_ids[5:]):
            pass
        price.set("1.2")
        async with watching(lambda: second.url, order_ids):
            pass
    assert check_promises(database_address, order_ids).statuses == {"confirmed": 10}


async def test_a_price_that_is_not_reached_triggers_nothing(launcher: Launcher, database_address: Address) -> None:
    service = launcher.start()
    async with http() as calls, asyncio.timeout(50):
        posted = await asyncio.gather(*(calls.post(service.url, order) for order in [LIMIT] * 5 + [STOP] * 5))
        order_ids = [str(answer.body["orderId"]) for answer in posted]
        # One that is reached at once shows that prices were looked at since.
        reached = {"side": "sell", "amount": "75", "type": "limit", "limitPrice": "1000000"}
        filled = str((await calls.post(service.url, reached)).body["orderId"])
        async with watching(lambda: service.url, [filled]):
            pass
    resting = rows(database_address, "SELECT id, version, claim FROM orders WHERE resting")
    assert {str(row["id"]): (row["version"], row["claim"]) for row in resting} == dict.fromkeys(order_ids, (2, 0))
