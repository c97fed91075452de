"""Orders on the page: placed, followed to their end, opened, and refused."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, WebSocketRoute, expect

from dexexec.client import Client, MarketOrder
from dexexec.client.problems import InvalidOrderError
from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import amount, described_error, form, go_live, place_button, placed, row, story
from tests.support.service.process import Process

pytestmark = needs_chromium

HOSTILE = "<img src=x onerror=\"document.title='hostile'\"><script>document.title='hostile'</script>"
FIELDS_OF_KINDS = {
    "Market": {},
    "Limit": {"Limit price": "900"},
    "Stop or take-profit": {"Trigger price": "20"},
    "Trailing stop": {"Trail": "5000"},
    "Recurring": {"Parts": "2", "One every": "PT1H"},
    "Sniper": {"Token to wait for": "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"},
}
"""The fields without which an order of the kind is refused, beside its amount."""
SHOWN: dict[str, str | re.Pattern[str]] = {
    "Market": "confirmed",
    # A mock venue launches a pool for its token sooner or later, so it may be filled by then.
    "Sniper": re.compile("waiting|routing|building|submitted|confirmed"),
}
"""Statuses in the list; an order of another kind waits."""
TEXTS = {"venue", "detail", "reason", "tag", "symbol", "title", "sentences", "name", "failureReason"}
"""Members that hold what others wrote."""


def test_an_order_is_placed_and_seen_confirmed(tabs: Tabs, service: Process) -> None:
    page = tabs.open(service.url)
    go_live(page)
    amount(page).fill("0.01")
    order_id = placed(page, place_button(page).click)
    expect(row(page, order_id)).to_contain_text("confirmed", ignore_case=True)
    with Client(service.url) as client:
        order = client.get(order_id)
    assert (order.status, order.side, str(order.amount)) == ("confirmed", "buy", "0.01")

    row(page, order_id).get_by_role("link").first.click()
    expect(story(page, order_id)).to_contain_text("confirmed", ignore_case=True)
    assert order.tx_hash is not None
    expect(story(page, order_id)).to_contain_text(order.tx_hash[:8])


def test_every_kind_of_order_can_be_placed(tabs: Tabs, service: Process) -> None:
    page = tabs.open(service.url)
    go_live(page)
    kinds = form(page).get_by_role("combobox", name="Kind", exact=True)
    assert set(kinds.get_by_role("option").all_inner_texts()) == set(FIELDS_OF_KINDS)
    with Client(service.url) as client:
        for kind, fields in FIELDS_OF_KINDS.items():
            kinds.select_option(label=kind)
            amount(page).fill("0.02")
            for label, value in fields.items():
                form(page).get_by_role("textbox", name=label, exact=True).fill(value)
            if kind == "Stop or take-profit":
                form(page).get_by_role("combobox", name="Trigger side").select_option("below")
            order_id = placed(page, place_button(page).click)
            expect(row(page, order_id)).to_contain_text(SHOWN.get(kind, "waiting"))
            rested = "waiting" in {event.status for event in client.get(order_id).events}
            assert rested is (kind != "Market")


def test_the_quotes_of_all_venues_are_shown_side_by_side_and_name_the_winner(tabs: Tabs, service: Process) -> None:
    page = tabs.open(service.url)
    with page.expect_response(lambda answer: "/api/quote" in answer.url and answer.ok) as first:
        amount(page).fill("0.01")
    quotes = page.get_by_role("table", name="Quotes")
    answer = first.value.json()
    [quotes_of_size] = answer["quotes"]
    assert len(quotes_of_size["venues"]) == 2
    for quote in quotes_of_size["venues"]:
        expect(quotes.get_by_role("row").filter(has_text=quote["venue"])).to_have_count(1)
    expect(quotes).to_contain_text(re.compile(r"bps"))
    with page.expect_response(lambda answer: "/api/quote" in answer.url and answer.ok):
        pass  # it goes on without a hand

    # Of another amount nothing is shown as if it were of this one.
    amount(page).fill("0.0")
    expect(page.get_by_text("Quotes appear here once")).to_be_visible()
    page.route("**/api/quote?**", lambda _: None)
    amount(page).fill("0.02")
    expect(page.get_by_text("Requesting quotes")).to_be_visible()


def test_the_charts_have_what_happened_before_the_page_was_opened(tabs: Tabs, service: Process) -> None:
    with Client(service.url) as client:
        for _ in range(3):
            client.wait(client.place(MarketOrder("buy", "0.01")).order_id, timeout=20)
    page = tabs.open("about:blank")
    tabs.expect_complaints(r"503 \(Service Unavailable")
    page.route("**/api/quote?**", lambda route: route.fulfill(status=503, json={"status": 503}))  # of now
    page.goto(f"{service.url}/#/system")

    def newest(chart: str, value: str) -> Locator:
        """The text of a chart for who does not see it."""
        values = page.get_by_role("table", name=f"{chart}, the newest values")
        return values.get_by_role("row").filter(has_text=value)

    expect(newest("Latency", "p99")).to_contain_text(re.compile(r"\d m?s"))
    expect(newest("Land rate", "landed")).to_contain_text("100 %")
    for venue in ("mock-meteora", "mock-raydium"):
        expect(newest("Price per venue", venue)).to_contain_text("bps")
    page.get_by_role("combobox", name="The last").select_option("60 minutes")
    expect(newest("Throughput", "accepted")).to_contain_text("/s")


def test_a_wrong_field_shows_the_sentence_that_the_order_would_answer(tabs: Tabs, service: Process) -> None:
    page = tabs.open(service.url)
    go_live(page)
    with Client(service.url) as client:
        for wrong in ("-1", "abc", "0.0000000001", "1000000000000"):
            with pytest.raises(InvalidOrderError) as refused:
                client.place({"side": "buy", "amount": wrong})
            [problem] = refused.value.fields
            amount(page).fill(wrong)
            expect(form(page)).to_contain_text(problem.expected)
            assert problem.expected in described_error(amount(page))
    amount(page).fill("0.01")
    expect(amount(page)).not_to_have_attribute("aria-invalid", "true")


def test_text_from_outside_is_shown_as_text(tabs: Tabs, service: Process) -> None:
    with Client(service.url) as client:
        order_id = client.place(MarketOrder("buy", "0.01", tag="desk")).order_id
        client.wait(order_id, timeout=20)
    page = tabs.open("about:blank")
    page.route("**/api/**", with_hostile_answers)
    page.route_web_socket(re.compile("^ws"), with_hostile_messages)
    page.goto(service.url)
    go_live(page)
    expect(row(page, order_id)).to_contain_text(HOSTILE)
    amount(page).fill("0.01")
    expect(page.get_by_role("table", name="Quotes")).to_contain_text(HOSTILE)
    for address in (f"#/orders/{order_id}", "#/system", "#/webhooks", "#/"):
        page.evaluate("(address) => { location.hash = address; }", address)
        expect(page.get_by_role("main")).to_be_visible()
        assert page.locator('img[src="x"], script:text("hostile")').count() == 0
    page.evaluate("(address) => { location.hash = address; }", f"#/orders/{order_id}")
    expect(story(page, order_id)).to_contain_text(HOSTILE)
    assert page.title() != "hostile"


def with_hostile_answers(route: Route) -> None:
    """Answer what the service answers, with markup in its texts."""
    answer = route.fetch()
    if "json" in answer.headers.get("content-type", ""):
        route.fulfill(response=answer, json=hostile(answer.json()))
    else:
        route.fulfill(response=answer)


def with_hostile_messages(socket: WebSocketRoute) -> None:
    """Pass messages on in both directions, with markup in the texts of events."""
    server = socket.connect_to_server()
    server.on_message(lambda message: socket.send(json.dumps(hostile(json.loads(message)))))


def hostile(value: Any, name: str = "") -> Any:
    """The value with markup behind each text that venues, nodes and clients write."""
    if isinstance(value, dict):
        return {name: hostile(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, name) for inner in value]
    return value + HOSTILE if isinstance(value, str) and name in TEXTS else value
