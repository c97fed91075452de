"""The page where keys are required: it shows nothing before the key, and keeps the key in memory only."""

import json

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from dexexec.client import Client, LimitOrder, MarketOrder
from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import amount, form, go_live, place_button, placed, row, story
from tests.support.service.process import Launcher, Process

pytestmark = needs_chromium

KEPT = """async () => JSON.stringify([
    {...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state,
    await caches.keys(), await indexedDB.databases(),
    document.documentElement.outerHTML, [...document.querySelectorAll("input")].map((input) => input.value),
])"""
"""Everything that outlives the page's variables, or that other code of the page could read."""


@pytest.fixture(scope="module")
def token(launcher: Launcher) -> str:
    """A key that may trade."""
    return made_key(launcher, "desk")


@pytest.fixture(scope="module")
def guarded(launcher: Launcher, token: str) -> Process:
    """A service that requires a key."""
    service = launcher.start(DEXEXEC_REQUIRE_KEYS="1")
    service.banner()
    return service


def made_key(launcher: Launcher, name: str, scope: str = "trade") -> str:
    made = launcher.start("keys", "create", name, "--scope", scope, "--json")
    assert made.wait() == 0
    return str(json.loads(made.out)["token"])


def kept(page: Page) -> str:
    return str(page.evaluate(KEPT))


def key_field(page: Page) -> Locator:
    return page.get_by_role("form", name="API key").get_by_role("textbox", name="Key")


def give_key(page: Page, token: str) -> None:
    key_field(page).fill(token)
    page.keyboard.press("Enter")


def test_nothing_is_shown_before_the_key_and_the_key_is_nowhere_but_in_memory(
    tabs: Tabs, guarded: Process, token: str
) -> None:
    with Client(guarded.url, token=token) as client:
        earlier = client.place(MarketOrder("buy", "0.01")).order_id
    urls: list[str] = []
    page = tabs.open("about:blank")
    page.on("request", lambda request: urls.append(request.url))
    page.goto(guarded.url)
    expect(key_field(page)).to_have_attribute("type", "password")
    assert earlier not in page.content()
    expect(form(page)).to_have_count(0)
    assert not [url for url in urls if "/api/" in url]

    give_key(page, token)
    go_live(page)
    expect(row(page, earlier)).to_be_visible()
    amount(page).fill("0.01")
    expect(row(page, placed(page, place_button(page).click))).to_be_visible()
    assert token not in kept(page)
    assert not [url for url in urls if token in url]

    page.reload()
    expect(key_field(page)).to_be_visible()
    assert earlier not in page.content()


def test_a_wrong_key_is_refused_in_words(tabs: Tabs, guarded: Process) -> None:
    tabs.expect_complaints(r"401 \(Unauthorized\)|WebSocket connection to")
    page = tabs.open(guarded.url)
    give_key(page, "dx_wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(form(page)).to_have_count(0)


def test_a_page_that_the_network_could_open_without_a_key_is_refused(tabs: Tabs, launcher: Launcher) -> None:
    open_to_all = launcher.start(DEXEXEC_HOST="0.0.0.0", DEXEXEC_REQUIRE_KEYS="0")  # noqa: S104
    tabs.expect_complaints(r"403 \(Forbidden\)|favicon\.ico")
    page = tabs.open(open_to_all.url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
    expect(page.locator("body")).to_contain_text("DEXEXEC_REQUIRE_KEYS")
    expect(form(page)).to_have_count(0)


def test_a_page_whose_key_is_revoked_forgets_what_it_showed(tabs: Tabs, launcher: Launcher, guarded: Process) -> None:
    first, second = (made_key(launcher, name) for name in ("first", "second"))
    tabs.expect_complaints(r"401 \(Unauthorized\)|WebSocket connection to")
    page = tabs.open("about:blank")
    page.route("**/api/overview", with_a_halt)
    page.goto(guarded.url)
    give_key(page, first)
    go_live(page)
    order_id = placed(page, place_button(page).click)
    amount(page).fill("0.0321")
    page.evaluate("(id) => { location.hash = `#/orders/${id}`; }", order_id)
    expect(story(page, order_id)).to_be_visible()

    assert launcher.start("keys", "revoke", "first").wait() == 0
    expect(key_field(page)).to_be_visible()
    page.evaluate("() => { history.replaceState(null, '', '#/'); }")
    shown = kept(page) + page.title()
    assert not [text for text in (order_id, order_id[-8:], "0.0321", "simulated", "halted", first) if text in shown]

    give_key(page, second)
    go_live(page)
    expect(page.get_by_role("alert").filter(has_text="Signing is halted")).to_be_visible()
    expect(amount(page)).to_have_value("0.01")


def with_a_halt(route: Route) -> None:
    """Answer the overview, with a halt in it."""
    answer = route.fetch()
    halts = [{"key": None, "reason": "maintenance", "since": "2026-01-01T00:00:00Z"}]
    route.fulfill(response=answer, json={**answer.json(), **({"halts": halts} if answer.ok else {})})


def test_a_key_that_may_only_read_sees_no_button_that_would_be_refused(
    tabs: Tabs, launcher: Launcher, guarded: Process
) -> None:
    page = tabs.open(guarded.url)
    give_key(page, made_key(launcher, "audit", "read"))
    go_live(page)
    expect(page.get_by_text("This key may read, and place no orders")).to_be_visible()
    expect(form(page)).to_have_count(0)
    for address, text in (
        ("#/webhooks", "A key with the scope trade sees its webhooks"),
        ("#/system", "A key with the scope admin sees the wallets"),
        ("#/", "No orders yet"),
    ):
        page.evaluate("(address) => { location.hash = address; }", address)
        expect(page.get_by_text(text)).to_be_visible()


def test_an_order_of_a_key_that_may_only_read_has_no_button_either(tabs: Tabs, guarded: Process, token: str) -> None:
    with Client(guarded.url, token=token) as client:
        resting = client.place(LimitOrder("buy", "0.01", limit_price="900")).order_id
    page = tabs.open("about:blank")
    page.route("**/api/overview", with_only_reading)  # as of a key that could trade before
    page.goto(guarded.url)
    give_key(page, token)
    go_live(page)
    expect(row(page, resting)).to_contain_text("waiting")
    expect(row(page, resting).get_by_role("button")).to_have_count(0)
    row(page, resting).get_by_role("link").click()
    expect(story(page, resting)).to_contain_text("it waits for a price of 900")
    for hidden in ("Cancel", "Change the order"):
        expect(story(page, resting).get_by_role("button", name=hidden)).to_have_count(0)


def with_only_reading(route: Route) -> None:
    """Answer the overview as a key with the scope `read` gets it."""
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), **({"scopes": ["read"]} if answer.ok else {})})
