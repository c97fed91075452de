"""Takes the README's pictures of the page: `uv run --with pillow python -m tests.browser.screenshots`.

They show a real service on servers of its own, and orders that it executed.
"""

import importlib
import io
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from dexexec.client import Client, LimitOrder, MarketOrder, RecurringOrder
from tests.support.chromium import chromium
from tests.support.page import amount, go_live, row, story
from tests.support.service.embedded_servers import data_folder
from tests.support.service.process import Launcher

pillow = importlib.import_module("PIL.Image")  # only for this: no dependency of the tests
IMAGES = Path(__file__).parents[2] / "docs" / "images"
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
DARK = {"color_scheme": "dark"}
MOST_BYTES = 150_000
"""Of one picture."""
ORDERS = 40
CHART_MS = 8_000
SETTINGS = {"DEXEXEC_MOCK_LATENCY_MS": "60", "DEXEXEC_MOCK_FAILURE_RATE": "0.1"}


def trade(url: str) -> str:
    """Orders of several kinds, most of them executed; the id of one that was."""
    with Client(url) as client:
        client.place(RecurringOrder("buy", "1.2", slices=12, every=timedelta(minutes=1)))
        placed = ""
        for number in range(ORDERS):
            buy = MarketOrder("buy", f"0.{number + 1:02}", tag="desk")
            placed = client.place(buy if number % 3 else MarketOrder("sell", "25")).order_id
            client.wait(placed, timeout=30)
        client.place(MarketOrder("buy", "0.5", trigger_price="20", trigger_when="below", tag="safety-net"))
        client.cancel(client.place(LimitOrder("sell", "100", limit_price="20")).order_id)
        client.wait(client.place(LimitOrder("buy", "0.2", limit_price="900", time_in_force="FOK")).order_id, timeout=30)
        client.place(LimitOrder("buy", "0.5", limit_price="900"))
        return placed


def take(page: Page, name: str) -> None:
    """Save what the page shows, with 256 colors."""
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"{name}.png"
    shown = pillow.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide")))
    shown.convert("RGB").quantize(256, dither=0).save(path, optimize=True)
    size = path.stat().st_size
    assert size <= MOST_BYTES, (name, size)
    sys.stdout.write(f"{path}: {size} bytes\n")


def orders(page: Page, url: str, order_id: str) -> None:
    """The form with quotes, and the orders."""
    page.goto(url)
    go_live(page)
    with page.expect_response(lambda answer: "amount=0.5" in answer.url):
        amount(page).fill("0.5")
    expect(page.get_by_text("wins by")).to_be_visible()
    expect(page.get_by_role("table", name="Quotes").get_by_role("row").nth(2)).to_be_visible()
    expect(row(page, order_id)).to_be_visible()


def order(page: Page, url: str, order_id: str) -> None:
    """One order."""
    page.goto(f"{url}/#/orders/{order_id}")
    expect(story(page, order_id).get_by_role("heading").nth(1)).to_be_visible()


def system(page: Page, url: str, _order_id: str) -> None:
    """The charts, once they have some points."""
    page.goto(f"{url}/#/system")
    expect(page.get_by_role("figure").first).to_be_visible()
    page.wait_for_timeout(CHART_MS)


def main() -> None:
    """Start a service, trade, and take all pictures."""
    with data_folder() as data, Launcher(DEXEXEC_DATA_DIR=str(data), **SETTINGS) as launcher:
        service = launcher.start()
        service.ready()
        order_id = trade(service.url)
        with chromium() as browser:
            for name, show, options in PICTURES:
                page = browser.new_context(**options).new_page()
                show(page, service.url, order_id)
                take(page, name)
                page.context.close()


PICTURES: tuple[tuple[str, Callable[[Page, str, str], None], Any], ...] = (
    ("orders-light", orders, DESKTOP),
    ("orders-dark", orders, DESKTOP | DARK),
    ("order-dark", order, DESKTOP | DARK),
    ("system-light", system, DESKTOP),
    ("orders-phone", orders, PHONE),
    ("order-phone", order, PHONE | DARK),
)

if __name__ == "__main__":
    main()
