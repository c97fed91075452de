"""What a person does with an order on the page: changes it while it rests, cancels it, copies from it, and reads on."""

from decimal import Decimal

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from dexexec.client import Client, LimitOrder
from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import announced, described_error, go_live, row, story
from tests.support.service.process import Process

pytestmark = needs_chromium


@pytest.fixture
def resting(service: Process) -> str:
    """A limit order that no price fills."""
    with Client(service.url) as client:
        return client.place(LimitOrder("buy", "0.01", limit_price="900")).order_id


def opened(tabs: Tabs, service: Process, order_id: str) -> tuple[Page, Locator]:
    """A page that shows the order's story."""
    page = tabs.open(f"{service.url}/#/orders/{order_id}")
    go_live(page)
    expect(story(page, order_id)).to_contain_text("it waits for a price of 900")
    return page, story(page, order_id)


def test_an_order_that_rests_is_changed_and_a_wrong_value_is_named_at_its_field(
    tabs: Tabs, service: Process, resting: str
) -> None:
    tabs.expect_complaints(r"422 \(Unprocessable|412 \(Precondition Failed")
    page, shown = opened(tabs, service, resting)
    shown.get_by_text("Change this order").click()
    price = shown.get_by_role("textbox", name="Limit price")
    change = shown.get_by_role("button", name="Change the order")
    expect(price).to_have_value("900")
    price.fill("-1")
    change.click()
    assert "Limit price is negative" in described_error(price)

    price.fill("910.5")
    change.click()
    expect(shown).to_contain_text("Changed: Limit price")
    expect(shown).to_contain_text("it waits for a price of 910.5")
    expect(price).not_to_have_attribute("aria-invalid", "true")
    with Client(service.url) as client:
        assert Decimal(str(client.get(resting).data["limitPrice"])) == Decimal("910.5")

        def overtaken(route: Route) -> None:
            """Let another client change the order before the page does."""
            if route.request.method == "PATCH":
                client.amend(resting, version=None, limit_price="930")
            route.continue_()

        page.route("**/api/orders/*", overtaken)
        price.fill("920")
        change.click()
        expect(shown).to_contain_text("The order has changed meanwhile")
        expect(shown).to_contain_text("it waits for a price of 930")
        expect(price).to_have_value("920")
        assert Decimal(str(client.get(resting).data["limitPrice"])) == Decimal(930)


def test_an_event_moves_neither_the_focus_nor_a_selection_nor_what_is_open(
    tabs: Tabs, service: Process, resting: str
) -> None:
    page, shown = opened(tabs, service, resting)
    shown.get_by_text("Change this order").click()
    amount = shown.get_by_role("textbox", name="Amount")
    amount.fill("0.0")
    shown.get_by_text(resting, exact=True).select_text()
    with Client(service.url) as client:
        client.amend(resting, version=None, limit_price="901")
    expect(shown).to_contain_text("it waits for a price of 901")
    assert page.evaluate("getSelection().toString()") == resting
    expect(shown.get_by_role("textbox", name="Limit price")).to_have_value("901")
    expect(amount).to_have_value("0.0")

    amount.click()
    with Client(service.url) as client:
        client.amend(resting, version=None, limit_price="902")
    expect(shown).to_contain_text("it waits for a price of 902")
    expect(amount).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type("2")
    expect(amount).to_have_value("0.02")


def test_ids_are_copied(tabs: Tabs, service: Process, resting: str) -> None:
    page, shown = opened(tabs, service, resting)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copy = shown.get_by_role("button", name="Copy the order's id")
    copy.click()
    expect(announced(page)).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == resting
    # A page without TLS has no clipboard of that kind. What takes its place is done when the click is.
    page.evaluate("() => navigator.clipboard.writeText('other')")
    page.evaluate("() => { Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true}); }")
    copy.click()
    page.evaluate("() => { delete navigator.clipboard; }")
    assert page.evaluate("navigator.clipboard.readText()") == resting


def test_two_pages_show_the_same_and_one_cancels_what_the_other_shows(
    tabs: Tabs, service: Process, resting: str
) -> None:
    listing = tabs.open(service.url)
    _, shown = opened(tabs, service, resting)
    go_live(listing)
    row(listing, resting).get_by_role("button", name="Cancel").click()
    expect(row(listing, resting)).to_contain_text("cancelled")
    expect(shown).to_contain_text("cancelled by the client")
    expect(shown.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(shown.get_by_text("Change this order")).to_have_count(0)
