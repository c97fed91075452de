"""The page while its service is killed and comes back: it shows that it is old, and then misses nothing."""

import re
from contextlib import ExitStack

from playwright.sync_api import Page, expect

from dexexec.client import Client, MarketOrder
from tests.conftest import Servers
from tests.support.chromium import Tabs, in_a_thread, needs_chromium
from tests.support.databases import Databases
from tests.support.page import LIVE, RECONNECTING, connection, go_live, row, story
from tests.support.ports import free_port
from tests.support.service.process import Launcher, servers_at

pytestmark = needs_chromium

DOWN = r"net::ERR_CONNECTION_REFUSED|WebSocket connection to"
"""The browser's own words about each connection that it tries meanwhile."""


def place(client: Client, count: int) -> list[str]:
    """Place orders and wait for their ends."""
    placed = [client.place(MarketOrder("buy", "0.01")).order_id for _ in range(count)]
    assert {client.wait(order_id, timeout=20).status for order_id in placed} == {"confirmed"}
    return placed


def expect_confirmed(page: Page, order_ids: list[str]) -> None:
    """Each has its row, which shows the record's status."""
    for order_id in order_ids:
        expect(row(page, order_id)).to_contain_text("confirmed", ignore_case=True)


def test_a_page_whose_service_was_killed_resumes_without_a_gap(tabs: Tabs, launcher: Launcher) -> None:
    port = str(free_port())
    killed = launcher.start(PORT=port)
    killed.ready()
    other = launcher.start()  # on the same servers: orders go on while the page has nothing to read from
    other.ready()
    tabs.expect_complaints(DOWN)
    page = tabs.open(killed.url)
    go_live(page)
    with Client(other.url) as client:
        before = place(client, 2)
        expect_confirmed(page, before)

        killed.kill()
        expect(connection(page)).to_have_text(RECONNECTING)
        expect(connection(page)).to_contain_text(re.compile(r"as of \d\d:\d\d:\d\d"))
        meanwhile = place(client, 3)
        expect(row(page, meanwhile[0])).to_have_count(0)

        launcher.start(PORT=port).ready()
        expect(connection(page)).to_have_text(LIVE)
        expect_confirmed(page, before + meanwhile)
        after = place(client, 1)
        expect_confirmed(page, after)


def test_a_page_whose_service_comes_back_with_another_record_shows_only_that(
    tabs: Tabs, launcher: Launcher, servers: Servers, databases: Databases
) -> None:
    port = str(free_port())
    gone = launcher.start(PORT=port)
    gone.ready()
    tabs.expect_complaints(DOWN + r"|404 \(Not Found\)")
    listing, reading = tabs.open(gone.url), tabs.open(gone.url)
    with Client(gone.url) as client, ExitStack() as stack:
        [order_id] = place(client, 1)
        expect_confirmed(listing, [order_id])
        reading.evaluate("(id) => { location.hash = `#/orders/${id}`; }", order_id)
        expect(story(reading, order_id)).to_contain_text("confirmed")

        gone.kill()
        empty = in_a_thread(stack.enter_context, databases.migrated())
        back = launcher.start(PORT=port, **servers_at(empty, servers.redis_url, empty.database))
        stack.callback(back.stop)  # before its database is another test's
        back.ready()
        expect(row(listing, order_id)).to_have_count(0)
        expect(story(reading, order_id)).not_to_contain_text("confirmed")
        for page in (listing, reading):
            expect(connection(page)).to_have_text(LIVE)
        expect_confirmed(listing, place(client, 1))
