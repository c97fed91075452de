"""Snipers in the whole service: filled once each, through kills, and also for a launch while the service is down."""

import asyncio
import secrets
import time
from functools import partial
from itertools import count
from typing import Any

import pytest

from dexexec.domain import base58
from dexexec.domain.token import KNOWN, Tokens
from dexexec.store import Address
from dexexec_adapters.mock.launches import LaunchSchedule
from tests.support.service.client import Http, http, watching
from tests.support.service.process import Launcher
from tests.support.service.promise_checks import agree, check_promises, rows
from tests.support.waiting import POLL, until

VENUE = "mock-raydium"
SOON_MS, LATER_MS = 5_000, 9_000
"""When the launch happens that the service misses: after its order was posted, and not much later."""


def some_mint() -> str:
    return base58.encode(secrets.token_bytes(32))


async def posted(calls: Http, url: str, mint: str, **conditions: object) -> str:
    answer = await calls.post(url, {"type": "sniper", "mint": mint, "amount": "0.01", "conditions": conditions})
    assert answer.status == 202, answer
    return str(answer.body["orderId"])


async def order_of(calls: Http, url: str, order_id: str) -> dict[str, Any]:
    return (await calls.get(f"{url}/api/orders/{order_id}")).body


async def test_each_sniper_is_filled_once_with_all_that_it_saw_in_its_events(
    launcher: Launcher, database_address: Address
) -> None:
    service = launcher.start(DEXEXEC_MOCK_LAUNCHES="4")
    await asyncio.to_thread(service.ready)
    async with http() as calls, asyncio.timeout(100):
        orders = [await posted(calls, service.url, some_mint(), maxAgeMs=60_000) for _ in range(10)]
        async with watching(lambda: service.url, orders) as watch:
            pass
        for order_id in orders:
            order = await order_of(calls, service.url, order_id)
            assert (order["status"], order["type"], order["attemptCount"]) == ("confirmed", "sniper", 1)
            assert order["amountIn"] == "10000000"
            [triggered] = [event["triggered"] for event in order["events"] if "triggered" in event]
            assert triggered["pool"] in order["fill"].get("route", [triggered["pool"]])
            assert order["conditions"] == {"maxAgeMs": 60_000}
            tokens = int(order["amountOut"]) / 10 ** order["mintDecimals"]
            assert float(order["fill"]["price"]) == pytest.approx(tokens / 0.01, rel=1e-6)
            explained = await calls.get(f"{service.url}/api/orders/{order_id}/explain")
            assert explained.status == 200
        agree(watch.events, database_address)
        pools = rows(database_address, "SELECT count(*) AS n, count(DISTINCT pool) AS pools FROM launches")
        assert pools[0]["n"] == pools[0]["pools"]
        refused = await calls.post(service.url, {"type": "sniper", "mint": "x", "amount": "1"})
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "mint")  # type: ignore[index]
    check_promises(database_address, orders)
    assert service.stop() == 0


async def test_promise_23_kill_9_while_pools_are_launched_fills_every_sniper_once(
    launcher: Launcher, database_address: Address
) -> None:
    settings = {"DEXEXEC_MOCK_LAUNCHES": "6"}
    service = launcher.start(**settings)
    await asyncio.to_thread(service.ready)

    def triggered(least: int) -> bool:
        found = rows(database_address, "SELECT count(*) AS n FROM orders WHERE type = 'sniper' AND NOT resting")
        return int(str(found[0]["n"])) >= least

    async with http() as calls, asyncio.timeout(150):
        orders = [await posted(calls, service.url, some_mint()) for _ in range(30)]
        for least in (3, 10, 20):
            await until(partial(triggered, least), pause=POLL)
            await asyncio.to_thread(service.kill)
            service = launcher.start(**settings)
            await asyncio.to_thread(service.ready)
        async with watching(lambda: service.url, orders):
            pass
        confirmed = rows(database_address, "SELECT count(*) AS n FROM orders WHERE status = 'confirmed'")
        assert confirmed[0]["n"] == len(orders)
    check_promises(database_address, orders)
    assert service.stop() == 0


async def test_a_launch_while_the_service_is_down_is_acted_upon_if_it_is_not_too_old(
    launcher: Launcher, database_address: Address
) -> None:
    # A period in whose first quarter it is now: the pool then stays for minutes.
    now_ms = time.time_ns() // 1_000_000
    period = next(seconds for seconds in count(600) if now_ms % (seconds * 1000) < seconds * 250)
    settings = {"DEXEXEC_MOCK_LAUNCHES": str(period)}
    service = launcher.start(**settings)
    await asyncio.to_thread(service.ready)
    mint, opens_at_ms = launched_soon(period)
    async with http() as calls, asyncio.timeout(100):
        patient = await posted(calls, service.url, mint, maxAgeMs=3_600_000, venues=[VENUE])
        strict = await posted(calls, service.url, mint, maxAgeMs=1, venues=[VENUE])
        await asyncio.to_thread(service.kill)
        await until(lambda: time.time_ns() // 1_000_000 > opens_at_ms + 100, pause=POLL)
        service = launcher.start(**settings)
        await asyncio.to_thread(service.ready)
        async with watching(lambda: service.url, [patient]):
            pass
        assert (await order_of(calls, service.url, patient))["status"] == "confirmed"

        async def stopped() -> bool:
            events = (await order_of(calls, service.url, strict))["events"]
            return any(event.get("condition") == "maxAgeMs" for event in events)

        await until(stopped, pause=POLL)
        order = await order_of(calls, service.url, strict)
        assert order["status"] == "waiting"
        [event] = [event for event in order["events"] if event.get("condition") == "maxAgeMs"]
        assert int(event["seen"]) > int(event["limit"]) == 1
        assert (await calls.delete(f"{service.url}/api/orders/{strict}")).status == 200
    check_promises(database_address, [patient, strict])
    assert service.stop() == 0


def launched_soon(period: int) -> tuple[str, int]:
    """A mint that the venue launches in some seconds, and when."""
    schedule = LaunchSchedule(1, VENUE, Tokens(KNOWN), period * 1000)
    while True:
        now_ms = time.time_ns() // 1_000_000
        mint = some_mint()
        opens_at_ms = schedule.at(mint, now_ms).opens_at_ms
        if SOON_MS < opens_at_ms - now_ms < LATER_MS:
            return mint, opens_at_ms
