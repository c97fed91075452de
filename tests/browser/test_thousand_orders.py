"""A page that follows 1,000 orders, which are posted as fast as the service takes them, stays usable."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import expect

from dexexec.client import AsyncClient, MarketOrder
from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import amount, connection, go_live, row
from tests.support.page_tasks import REFERENCE, task_times
from tests.support.service.process import Process

pytestmark = needs_chromium

ORDERS, AT_ONCE = 1_000, 16
MOST = 3.0
"""How long one task of the page may compute, in times of the reference task, which takes about 50 ms."""


async def post_all(url: str) -> list[str]:
    """Place the orders; the ids."""
    async with AsyncClient(url) as client:
        free = asyncio.Semaphore(AT_ONCE)

        async def place() -> str:
            async with free:
                return (await client.place(MarketOrder("buy", "0.01"))).order_id

        return await asyncio.gather(*(place() for _ in range(ORDERS)))


async def all_ended(url: str, order_ids: list[str]) -> None:
    """Wait until each has its last event."""
    async with AsyncClient(url) as client, client.events(order_ids) as events:
        async for _ in events:
            pass


def test_a_thousand_orders_do_not_freeze_the_page(tabs: Tabs, service: Process) -> None:
    page = tabs.open(service.url)
    go_live(page)
    with task_times(page) as reference:
        page.evaluate(REFERENCE)
    with task_times(page) as busy, ThreadPoolExecutor(1) as threads:
        posting = threads.submit(asyncio.run, post_all(service.url))
        typed = 0
        while not posting.done():  # a person who types meanwhile
            typed += 1
            amount(page).fill(f"0.0{typed}")
            expect(amount(page)).to_have_value(f"0.0{typed}")
        order_ids = posting.result()
        threads.submit(asyncio.run, all_ended(service.url, order_ids)).result()
        for order_id in sorted(order_ids)[-20:]:
            expect(row(page, order_id)).to_contain_text("confirmed", ignore_case=True)
    assert typed > 0
    assert busy.longest < MOST * reference.longest, (busy.longest, reference.longest)
    expect(connection(page)).to_contain_text("Live")
