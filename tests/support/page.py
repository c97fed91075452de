"""The page as a person sees it: by roles and names, hardly ever by ids or classes."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

LIVE = re.compile(r"^\s*Live")
RECONNECTING = re.compile(r"^\s*Reconnecting")


def connection(page: Page) -> Locator:
    """The region that states whether what is shown is live."""
    return page.get_by_role("status", name="Connection")


def form(page: Page) -> Locator:
    """The order form."""
    return page.get_by_role("form", name="New order")


def amount(page: Page) -> Locator:
    """Its field for the amount."""
    return form(page).get_by_role("textbox", name="Amount")


def orders(page: Page) -> Locator:
    """The table of orders."""
    return page.get_by_role("table", name="Orders")


def row(page: Page, order_id: str) -> Locator:
    """An order's row."""
    return orders(page).get_by_role("row").filter(has=link(page, order_id))


def link(page: Page, order_id: str) -> Locator:
    """A link to an order."""
    return page.locator(f'a[href="#/orders/{order_id}"]').first


def placed(page: Page, act: Callable[[], None]) -> str:
    """The id of the order that the page places because of `act`."""
    with page.expect_response(lambda answer: answer.url.endswith("/api/orders/execute")) as posted:
        act()
    assert posted.value.status == 202, posted.value.text()
    return str(posted.value.json()["orderId"])


def place_button(page: Page) -> Locator:
    """The button that places the order."""
    return form(page).get_by_role("button", name="Place order")


def story(page: Page, order_id: str) -> Locator:
    """What is shown of an order when it is opened."""
    return page.get_by_role("region", name=f"Order {order_id[-8:]}")


def announced(page: Page) -> Locator:
    """What a screen reader was given last."""
    return page.locator("#announcer")


def go_live(page: Page) -> None:
    """Wait until the page follows the service."""
    expect(connection(page)).to_have_text(LIVE)


def described_error(field: Locator) -> str:
    """The text that a screen reader reads with an invalid field, once it is one."""
    expect(field).to_have_attribute("aria-invalid", "true")
    return str(
        field.evaluate(
            """(field) => (field.getAttribute("aria-describedby") ?? "").split(" ")
                .map((id) => document.getElementById(id)?.textContent ?? "").join(" ")"""
        )
    )
