"""Recurring orders in the whole service: slices each second, through kills, cancels and dry runs."""

import asyncio
from functools import partial
from typing import Any

from dexexec.store import Address
from tests.support.service.client import Http, http, watching
from tests.support.service.process import Launcher
from tests.support.service.promise_checks import agree, check_promises, rows, unfinished
from tests.support.waiting import POLL, until

EACH_SECOND: dict[str, object] = {"type": "recurring", "side": "buy", "amount": "0.05", "slices": 5, "every": "PT1S"}


async def posted(calls: Http, url: str, **fields: object) -> str:
    answer = await calls.post(url, {**EACH_SECOND, **fields})
    assert answer.status == 202, answer
    return str(answer.body["orderId"])


async def test_an_amount_is_swapped_in_slices_and_the_order_has_their_sums(
    launcher: Launcher, database_address: Address
) -> None:
    service = launcher.start()
    await asyncio.to_thread(service.ready)
    async with http() as calls, asyncio.timeout(60):
        parent = await posted(calls, service.url, missed="catchUp", tag="dca", minPrice="1")
        async with watching(lambda: service.url, [parent]) as watch:
            pass
        order: dict[str, Any] = (await calls.get(f"{service.url}/api/orders/{parent}")).body
        assert (order["status"], order["filledSlices"], order["skippedSlices"]) == ("confirmed", 5, 0)
        assert order["amountIn"] == "50000000"
        assert int(order["amountOut"]) == sum(int(child["amountOut"]) for child in order["children"])
        assert [child["slice"] for child in order["children"]] == [1, 2, 3, 4, 5]
        assert order["averagePrice"] == order["fill"]["price"]
        made = [event["slice"] for event in watch.events[parent] if "lateMs" in event]
        assert made == [1, 2, 3, 4, 5]
        agree(watch.events, database_address)
        explained = await calls.get(f"{service.url}/api/orders/{parent}/explain")
        assert explained.status == 200
        listed: Any = (await calls.get(f"{service.url}/api/orders?limit=100")).body["orders"]
        assert {one["parentId"] for one in listed if "parentId" in one} == {parent}
        assert {one["tag"] for one in listed} == {"dca"}
    check_promises(database_address, [parent])
    assert service.stop() == 0


async def test_promise_24_kill_9_between_slices_neither_loses_nor_doubles_one(
    launcher: Launcher, database_address: Address
) -> None:
    service = launcher.start()
    await asyncio.to_thread(service.ready)

    def made(least: int) -> bool:
        found = rows(database_address, "SELECT count(*) AS n FROM orders WHERE parent IS NOT NULL")
        return int(str(found[0]["n"])) >= least

    async with http() as calls, asyncio.timeout(100):
        parents = [await posted(calls, service.url, missed="catchUp") for _ in range(10)]
        for killed_after in (5, 25):
            await until(partial(made, killed_after), pause=POLL)
            service.kill()
            service = launcher.start()
            await asyncio.to_thread(service.ready)
        async with watching(lambda: service.url, parents):
            pass
        for parent in parents:
            order: dict[str, Any] = (await calls.get(f"{service.url}/api/orders/{parent}")).body
            assert order["madeSlices"] == order["endedSlices"] == 5
    verdict = check_promises(database_address, parents)
    assert verdict.statuses["confirmed"] >= 10
    assert service.stop() == 0


async def test_a_cancel_ends_the_order_and_nothing_more_is_bought(
    launcher: Launcher, database_address: Address
) -> None:
    service = launcher.start()
    await asyncio.to_thread(service.ready)
    async with http() as calls, asyncio.timeout(60):
        parent = await posted(calls, service.url, slices=1000)
        where = f"{service.url}/api/orders/{parent}"

        while not (await calls.get(where)).body["filledSlices"]:
            await asyncio.sleep(POLL)
        assert (await calls.delete(where)).status == 200
        # What was signed lands, and nothing else is left.
        await until(lambda: unfinished(database_address) == 0, pause=POLL)
        while True:
            order: dict[str, Any] = (await calls.get(where)).body
            if order["endedSlices"] == order["madeSlices"]:
                break
            await asyncio.sleep(POLL)
        assert order["status"] == order["events"][-1]["status"] == "cancelled"
        assert {child["status"] for child in order["children"]} <= {"confirmed", "cancelled", "failed", "expired"}
        filled = [int(child["amountOut"]) for child in order["children"] if child["status"] == "confirmed"]
        assert (order["filledSlices"], order["amountOut"]) == (len(filled), str(sum(filled)))
    assert service.stop() == 0


async def test_a_dry_run_of_slices_ends_as_simulated(launcher: Launcher, database_address: Address) -> None:
    service = launcher.start()
    await asyncio.to_thread(service.ready)
    async with http() as calls, asyncio.timeout(60):
        parent = await posted(calls, service.url, slices=2, dryRun=True, missed="catchUp")
        async with watching(lambda: service.url, [parent]) as watch:
            pass
        assert watch.events[parent][-1]["status"] == "simulated"
        order: dict[str, Any] = (await calls.get(f"{service.url}/api/orders/{parent}")).body
        assert [child["status"] for child in order["children"]] == ["simulated", "simulated"]
        assert (order["filledSlices"], order["dryRun"]) == (2, True)
    assert rows(database_address, "SELECT FROM attempts") == []
    assert service.stop() == 0
