"""The Python client and the demo against a service that requires API keys."""

import asyncio

import pytest

from dexexec.client import AsyncClient, Event, EventStream, LimitOrder, MarketOrder
from dexexec.client.problems import OrderNotFoundError, ScopeMissingError, UnauthorizedError
from dexexec.client.service_url import ENVIRONMENT_KEY
from tests.support.service.process import Launcher

SECONDS = 60.0
FAR = "900"
"""A limit price that no mock reaches."""


async def rest_of(events: EventStream) -> list[Event]:
    return [event async for event in events]


async def test_a_key_opens_its_own_orders_until_it_is_revoked(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keys(*arguments: str) -> str:
        command = launcher.start("keys", *arguments)
        assert await asyncio.to_thread(command.wait, SECONDS) == 0, command.err
        return command.out.strip()

    desk, other = await asyncio.gather(
        keys("create", "desk", "--scope", "trade"), keys("create", "other", "--scope", "read")
    )
    service = launcher.start(DEXEXEC_REQUIRE_KEYS="1")
    await asyncio.to_thread(lambda: service.url)

    async with AsyncClient(service.url, token=desk) as client, AsyncClient(service.url, token=other) as reader:
        placed = await client.place(MarketOrder("buy", "0.01"))
        assert (await client.wait(placed.order_id, timeout=SECONDS)).status == "confirmed"
        with pytest.raises(OrderNotFoundError):
            await reader.get(placed.order_id)
        with pytest.raises(OrderNotFoundError):
            await reader.wait(placed.order_id, timeout=SECONDS)
        with pytest.raises(ScopeMissingError):
            await reader.place(MarketOrder("buy", "0.01"))

        monkeypatch.setenv(ENVIRONMENT_KEY, desk)
        async with AsyncClient(service.url) as by_environment:
            assert (await by_environment.get(placed.order_id)).order_id == placed.order_id
        async with AsyncClient(service.url, token="") as nobody:
            with pytest.raises(UnauthorizedError):
                await nobody.get(placed.order_id)
        demo = launcher.start("demo", "--orders", "2", "--url", service.url, DEXEXEC_API_KEY=desk)
        assert await asyncio.to_thread(demo.wait, SECONDS) == 0, demo.out
        without = launcher.start("demo", "--orders", "1", "--url", service.url)
        assert await asyncio.to_thread(without.wait, SECONDS) == 2
        assert "set DEXEXEC_API_KEY" in without.err

        resting = (await client.place(LimitOrder("buy", "0.5", limit_price=FAR))).order_id
        async with client.events(resting) as events:
            assert (await anext(events)).status == "pending"
            await keys("revoke", "desk")
            with pytest.raises(UnauthorizedError) as caught:
                await asyncio.wait_for(rest_of(events), SECONDS)
        texts = repr(caught.value) + str(caught.value.__dict__) + repr(client) + demo.out + demo.err + without.err
        assert desk not in texts
    assert desk not in service.out + service.err
