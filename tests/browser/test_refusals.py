"""What the service refuses, as the page shows it: each wrong field, and answers that are no fault of the order."""

import json
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import Locator, Page, Route, expect

from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import amount, described_error, form, go_live, orders, place_button, placed, row
from tests.support.service.process import Process

pytestmark = needs_chromium

KINDS = ("Market", "Limit", "Stop or take-profit", "Trailing stop", "Recurring", "Sniper")
WRONG = "?"
FREE = {"tag", "ocoGroup"}
"""Fields that may be any text of a few characters, and are filled with one that is too long."""
ALTERNATIVES = {"minOut", "maxIn"}
"""Of several bounds the service names one."""
PROBLEM = "application/problem+json"


def named(page: Page, name: str) -> Locator:
    """The form's field of this name."""
    return form(page).locator(f'[name="{name}"]')


def refusal(service: Process, body: str) -> dict[str, str]:
    """What would be right, by field, as the service answers it."""
    request = Request(f"{service.url}/api/orders/check", body.encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=20) as answer:  # noqa: S310 - http, to ourselves
        return {error["field"]: error["expected"] for error in json.load(answer)["problem"]["errors"]}


def test_each_wrong_field_of_each_kind_has_its_own_sentence(tabs: Tabs, service: Process) -> None:
    page = tabs.open(service.url)
    go_live(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or "") if "/orders/check" in request.url else None)
    for kind in KINDS:
        form(page).get_by_role("combobox", name="Kind", exact=True).select_option(label=kind)
        if form(page).locator("details[open]").count() == 0:
            form(page).get_by_text("More options").click()
        fields = form(page).locator('input[type="text"]')
        names = [str(field.get_attribute("name")) for field in fields.all()]
        for name in names:
            named(page, name).fill("x" * 200 if name in FREE else WRONG)
        place_button(page).click()
        expect(form(page).locator("[aria-invalid]").first).to_be_focused()
        problems = refusal(service, sent[-1])
        assert set(names) - ALTERNATIVES <= problems.keys(), kind
        for name in problems.keys() & set(names):
            assert problems[name] in described_error(named(page, name)), (kind, name)
        for name in names:
            named(page, name).fill("")


def answering(status: int, code: str, detail: str) -> Callable[[Route], None]:
    """Answers every request with this problem."""
    return lambda route: route.fulfill(**refused(status, code, detail))


def refused(status: int, code: str, detail: str) -> dict[str, Any]:
    """A problem document, as an answer of a route."""
    document = {"type": f"/problems/{code}", "title": "Refused", "status": status, "detail": detail}
    return {"status": status, "content_type": PROBLEM, "body": json.dumps(document)}


def test_a_refusal_that_is_no_fault_of_the_order_is_shown_and_leaves_the_form_as_it_is(
    tabs: Tabs, service: Process
) -> None:
    tabs.expect_complaints(r"429 \(Too Many|503 \(Service Unavailable|500 \(Internal")
    page = tabs.open(service.url)
    go_live(page)
    amount(page).fill("0.0123")
    for status, code, detail in (
        (429, "too-many-orders", "too many orders: try again in 7 s"),
        (503, "queue-full", "the queue is full: try again in 3 s"),
        (503, "halted", "signing is halted: maintenance"),
    ):
        page.route("**/api/orders/execute", answering(status, code, detail))
        place_button(page).click()
        expect(form(page)).to_contain_text(detail)
        expect(amount(page)).to_have_value("0.0123")
    page.unroute("**/api/orders/execute")
    expect(row(page, placed(page, place_button(page).click))).to_contain_text("confirmed")


def test_an_answer_that_was_lost_after_the_order_was_stored_places_it_once(tabs: Tabs, service: Process) -> None:
    tabs.expect_complaints(r"500 \(Internal")
    page = tabs.open(service.url)
    go_live(page)
    keys: list[str] = []

    def lost(route: Route) -> None:
        """Pass the order on, and answer the first time that something went wrong."""
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()
        if len(keys) == 1:
            route.fulfill(**refused(500, "internal", "a fault of the service"))
        else:
            route.fulfill(response=answer)

    page.route("**/api/orders/execute", lost)
    amount(page).fill("0.0321")
    place_button(page).click()
    expect(form(page)).to_contain_text("Placed: order")
    assert len(keys) == 2
    assert len(set(keys)) == 1
    expect(orders(page).get_by_role("row").filter(has_text="0.0321")).to_have_count(1)


def test_reads_that_are_refused_leave_what_is_shown_and_state_why(tabs: Tabs, service: Process) -> None:
    tabs.expect_complaints(r"429 \(Too Many|503 \(Service Unavailable")
    page = tabs.open("about:blank")
    page.route("**/api/stats**", answering(503, "reads-busy", "too many reads are waiting"))
    page.route("**/api/venues", answering(429, "too-many-reads", "too many reads of this client"))
    page.goto(f"{service.url}/#/system")
    go_live(page)
    expect(page.get_by_text("Not read: too many reads are waiting")).to_be_visible()
    expect(page.get_by_text("Not read: too many reads of this client")).to_be_visible()
    page.unroute_all()
    expect(page.get_by_role("table", name="Venues").get_by_role("row").nth(1)).to_be_visible()
    expect(page.get_by_text("Not read:")).to_have_count(0)
