"""The page for all people: no violation that axe finds, usable by keyboard alone, on a phone, and enlarged."""

import json
from importlib import resources
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from dexexec.client import Client, LimitOrder, MarketOrder
from dexexec.store import Address
from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import amount, connection, go_live, orders, place_button, placed, row, story
from tests.support.service.process import Launcher, Process

pytestmark = needs_chromium

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
RUN_AXE = """axe.run({resultTypes: ["violations"]}).then(({violations}) => violations.flatMap(
    ({id, help, nodes}) => nodes.map((node) => `${id}: ${help}: ${node.target} ${node.html.slice(0, 160)}`)))"""
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
ZOOMED = {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2}
"""A window of 1,280 points at 200 %."""
MOST_KEYS = 80
"""Presses of Tab until something must have the focus."""


@pytest.fixture(scope="module")
def service(launcher: Launcher) -> Process:
    """A service that sends nothing to webhooks: their deliveries are what the test makes of them."""
    service = launcher.start(DEXEXEC_WEBHOOKS="0")
    service.ready()
    return service


@pytest.fixture(scope="module")
def webhook(service: Process, record: Address, order_id: str) -> str:
    """The name of a webhook of which two deliveries failed; another one is disabled."""
    for name in ("books", "old"):
        made = post(service, "/api/webhooks", {"name": name, "url": "https://hooks.example.com/secret"})
        for _ in range(2):
            post(service, f"/api/webhooks/{made['id']}/test", {})
    with psycopg.connect(record.conninfo(), autocommit=True) as connection:
        connection.execute("UPDATE webhook_deliveries SET failed_at = now(), answer = 'HTTP 500', tries = 9")
        connection.execute("UPDATE webhook_deliveries SET order_id = %s, seq = 1 WHERE id = 1", (order_id,))
        connection.execute("UPDATE webhooks SET disabled_at = now(), disabled_why = 'HTTP 410' WHERE name = 'old'")
    return "books"


def post(service: Process, path: str, body: object) -> Any:
    """The answer to a POST."""
    request = Request(f"{service.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=20) as answer:  # noqa: S310 - http, to ourselves
        return json.load(answer)


@pytest.fixture(scope="module")
def order_id(service: Process) -> str:
    """A confirmed order; another one rests."""
    with Client(service.url) as client:
        client.place(LimitOrder("buy", "0.01", limit_price="900"))
        confirmed = client.place(MarketOrder("buy", "0.01")).order_id
        assert client.wait(confirmed, timeout=20).status == "confirmed"
    return confirmed


def views(page: Page, order_id: str) -> dict[str, Locator]:
    """What each view shows when it is complete, by its address."""
    return {
        "#/": row(page, order_id),
        f"#/orders/{order_id}": story(page, order_id).get_by_role("heading").nth(1),
        "#/system": page.get_by_role("figure").first,
        "#/webhooks": page.get_by_role("table", name="Failed deliveries"),
    }


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.usefixtures("webhook")
def test_axe_finds_no_violation(tabs: Tabs, service: Process, order_id: str, color_scheme: str) -> None:
    page = tabs.open(service.url, color_scheme=color_scheme)
    go_live(page)
    page.evaluate(AXE)
    found = {}
    for address, complete in views(page, order_id).items():
        page.evaluate("(address) => { location.hash = address; }", address)
        expect(complete).to_be_visible()
        found[address] = page.evaluate(RUN_AXE)
    assert not any(found.values()), found


def test_the_keyboard_alone_places_an_order_and_opens_its_story(tabs: Tabs, service: Process, order_id: str) -> None:
    page = tabs.open(service.url)
    go_live(page)
    expect(row(page, order_id)).to_be_visible()
    tab_to(page, amount(page))
    page.keyboard.type("0.01")
    tab_to(page, place_button(page))
    new = placed(page, lambda: page.keyboard.press("Enter"))
    expect(row(page, new)).to_contain_text("confirmed", ignore_case=True)
    tab_to(page, row(page, new).get_by_role("link").first)
    page.keyboard.press("Enter")
    expect(story(page, new)).to_be_visible()


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the focus is there."""
    for _ in range(MOST_KEYS):
        if target.evaluate("(element) => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {target}")


@pytest.mark.parametrize("screen", [PHONE, ZOOMED], ids=["phone", "zoomed"])
@pytest.mark.usefixtures("webhook")
def test_a_small_screen_needs_no_sideways_scrolling(
    tabs: Tabs, service: Process, order_id: str, screen: dict[str, Any]
) -> None:
    page = tabs.open(service.url, **screen)
    go_live(page)
    amount(page).fill("0.01")
    for address, complete in views(page, order_id).items():
        page.evaluate("(address) => { location.hash = address; }", address)
        expect(complete).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
    expect(connection(page)).to_be_visible()
    page.evaluate("() => { location.hash = '#/'; }")
    expect(orders(page)).to_be_visible()


def test_a_failed_delivery_is_sent_again_and_the_focus_stays_on_the_page(
    tabs: Tabs, service: Process, webhook: str
) -> None:
    page = tabs.open(f"{service.url}/#/webhooks")
    failed = page.get_by_role("table", name="Failed deliveries")
    again = failed.get_by_role("row").filter(has_text=webhook).get_by_role("button", name="Send")
    expect(again).to_have_count(2)
    # A disabled webhook gets nothing.
    expect(failed.get_by_role("row").filter(has_text="old").get_by_role("button")).to_have_count(0)
    again.first.press("Enter")
    expect(again).to_have_count(1)
    expect(page.get_by_role("status").filter(has_text=f"Deliveries to {webhook} are sent again")).to_be_visible()
    assert page.evaluate("document.activeElement !== document.body")
