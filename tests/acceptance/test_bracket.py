"""Brackets in the whole service: an entry arms its exits, the oracle triggers one, and its fill cancels the other."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from dexexec.client import AsyncClient, Bracket, Exit, MarketOrder
from dexexec.store import Address
from tests.support.service.process import QUICK, Launcher
from tests.support.service.promise_checks import check_promises, rows, unfinished
from tests.support.waiting import POLL, until

# A round trip costs more than 1 bps in fees, so at a price that never moves the stop is reached as soon as it is armed,
# and the profit never is.
STILL = {"DEXEXEC_MOCK_DRIFT_PPM": "0", "DEXEXEC_MOCK_OFFSET_PPM": "0"}
STOPPED_AT_ONCE = MarketOrder(
    "buy", "0.05", slippage_bps=1_000, bracket=Bracket(take_profit=Exit(bps=50_000), stop=Exit(bps=1))
)


@pytest.fixture
def launcher(given: dict[str, str]) -> Iterator[Launcher]:
    with Launcher(**given, **QUICK, **STILL) as launcher:
        yield launcher


def armed(address: Address, least: int) -> bool:
    """Whether so many exits exist."""
    found = rows(address, "SELECT count(*) AS n FROM orders WHERE parent IS NOT NULL")
    return int(str(found[0]["n"])) >= least


async def test_a_fill_arms_both_exits_and_the_one_that_is_reached_cancels_the_other(
    launcher: Launcher, database_address: Address
) -> None:
    service = launcher.start()
    await asyncio.to_thread(service.ready)
    async with AsyncClient(service.url) as client, asyncio.timeout(60):
        parent = (await client.place(STOPPED_AT_ONCE)).order_id
        assert (await client.wait(parent)).status == "confirmed"
        await until(lambda: unfinished(database_address) == 0, pause=POLL)
        order: Any = (await client.get(parent)).data
        assert (order["status"], len(order["children"])) == ("confirmed", 2)
        assert {child["status"] for child in order["children"]} == {"confirmed", "cancelled"}
        stop, profit = sorted(order["children"], key=lambda child: child["status"] != "confirmed")
        assert stop["amountIn"] == order["amountOut"], "exactly what was received"
        found = await client.get(profit["orderId"])
        assert (found.failure_reason, found.events[-1].data["filledBy"]) == ("group-filled", stop["orderId"])
        assert found.data["ocoGroup"] == f"bracket:{parent}"
    check_promises(database_address, [parent])
    assert service.stop() == 0


async def test_promise_22_kill_9_around_fills_arms_each_bracket_once(
    launcher: Launcher, database_address: Address
) -> None:
    service = launcher.start()
    await asyncio.to_thread(service.ready)
    async with asyncio.timeout(100):
        async with AsyncClient(service.url) as client:
            parents = [(await client.place(STOPPED_AT_ONCE)).order_id for _ in range(10)]
        for killed_after in (2, 12):
            await until(partial(armed, database_address, killed_after), pause=POLL)
            service.kill()
            service = launcher.start()
            await asyncio.to_thread(service.ready)
        await until(lambda: unfinished(database_address) == 0, pause=POLL)
        async with AsyncClient(service.url) as client:
            records: list[Any] = [(await client.get(parent)).data for parent in parents]
        for order in records:
            exits = sorted(str(child["status"]) for child in order["children"])
            assert exits == (["cancelled", "confirmed"] if order["status"] == "confirmed" else [])
    check_promises(database_address, parents)
    assert service.stop() == 0
