"""The page for all people: no violation of the rules that axe checks, usable by keyboard alone, and on a phone."""

from importlib import resources

import pytest
from playwright.sync_api import Locator, Page, expect

from dexexec.client import Client, LimitOrder, MarketOrder
from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import amount, connection, go_live, orders, place_button, placed, row, story
from tests.support.service.process import Process

pytestmark = needs_chromium

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
RUN_AXE = """axe.run({resultTypes: ["violations"]}).then(({violations}) => violations.flatMap(
    ({id, help, nodes}) => nodes.map((node) => `${id}: ${help}: ${node.target} ${node.html.slice(0, 160)}`)))"""
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
MOST_KEYS = 80
"""Presses of Tab until something must have the focus."""


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
        "#/webhooks": page.get_by_role("main").get_by_role("heading").first,
    }


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
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


def test_a_phone_needs_no_sideways_scrolling(tabs: Tabs, service: Process, order_id: str) -> None:
    page = tabs.open(service.url, **PHONE)
    go_live(page)
    amount(page).fill("0.01")
    for address, complete in views(page, order_id).items():
        page.evaluate("(address) => { location.hash = address; }", address)
        expect(complete).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
    expect(connection(page)).to_be_visible()
    page.evaluate("() => { location.hash = '#/'; }")
    expect(orders(page)).to_be_visible()
