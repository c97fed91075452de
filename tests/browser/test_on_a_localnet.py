"""The page beside a chain with wallets: an order that its client signs elsewhere, balances, nodes, and the explorer."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect
from solders.keypair import Keypair

from dexexec.client import Client, MarketOrder
from tests.support.chromium import Tabs, needs_chromium
from tests.support.page import announced, described_error, form, go_live, place_button, placed, row, story
from tests.support.service.embedded_servers import data_folder
from tests.support.service.process import Launcher, Process

pytestmark = needs_chromium

ON_A_LOCALNET = {"DEXEXEC_MOCK_SETTLEMENT": "localnet", "DEXEXEC_FINALITY_SECONDS": "1"}
UPGRADED = [{"venue": "old", "program": "P", "since": "2026-01-31T12:00:00.000Z", "detail": "its program was upgraded"}]
EXPLORER = "https://explorer.example.com/tx/{signature}?cluster=custom"


@pytest.fixture(scope="module")
def service(launcher: Launcher) -> Iterator[Process]:
    """The whole service, with a localnet of its own."""
    with data_folder() as folder:
        service = launcher.start(DEXEXEC_DATA_DIR=str(folder), **ON_A_LOCALNET)
        service.ready()
        yield service
        service.stop()


def signed(unsigned: str, key: Keypair) -> str:
    """The transaction with the signature of its payer in the first place."""
    data = b64decode(unsigned)
    message = data[1 + 64 * data[0] :]
    return b64encode(data[:1] + bytes(key.sign_message(message)) + data[65:]).decode()


def with_an_explorer(route: Route) -> None:
    """Answer the overview of a network that an explorer shows, with a venue that is quarantined."""
    answer = route.fetch()
    overview = answer.json()
    network = {**overview["network"], "explorer": EXPLORER}
    # Attempts are open for a moment only.
    wallets = reserved(overview["wallets"])
    route.fulfill(response=answer, json={**overview, "network": network, "wallets": wallets, "quarantines": UPGRADED})


def reserved(wallets: list[dict[str, object]]) -> list[dict[str, object]]:
    """The wallets, with a part of their first balance reserved."""
    for wallet in wallets:
        balances = wallet["balances"]
        assert isinstance(balances, list)
        balances[0]["reserved"] = "1500000000"
    return wallets


def sign_elsewhere(page: Page, order_id: str, key: Keypair) -> None:
    """Copy the transaction, sign it, and send it back; a wrong one is refused at its field."""
    shown = story(page, order_id)
    field = shown.get_by_role("textbox", name="Signed transaction")
    send = shown.get_by_role("button", name="Send the signed transaction")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.get_by_role("button", name="Copy the unsigned transaction").click()
    expect(announced(page)).to_have_text("Copied")
    unsigned = str(page.evaluate("navigator.clipboard.readText()"))
    field.fill(unsigned)  # without a signature
    send.click()
    assert "no valid signature" in described_error(field)
    field.fill(signed(unsigned, key))
    send.click()


def test_an_order_is_signed_elsewhere_and_its_transaction_is_in_the_explorer(tabs: Tabs, service: Process) -> None:
    tabs.expect_complaints(r"422 \(Unprocessable")
    page = tabs.open("about:blank")
    page.route("**/api/overview", with_an_explorer)
    page.goto(service.url)
    go_live(page)
    key = Keypair()
    form(page).get_by_text("More options").click()
    form(page).get_by_role("textbox", name="Payer").fill(str(key.pubkey()))
    order_id = placed(page, place_button(page).click)
    expect(row(page, order_id)).to_contain_text("your signature")
    row(page, order_id).get_by_role("link").click()
    expect(story(page, order_id).get_by_role("table", name="Attempts")).to_have_count(0)
    sign_elsewhere(page, order_id, key)
    expect(story(page, order_id)).to_contain_text("confirmed")
    link = story(page, order_id).get_by_role("table", name="Attempts").get_by_role("link")
    signature = str(link.inner_text()).split()[0]
    expect(link).to_have_attribute("href", EXPLORER.replace("{signature}", signature))


def test_wallets_nodes_and_endpoints_are_shown(tabs: Tabs, service: Process) -> None:
    with Client(service.url) as client:
        assert client.wait(client.place(MarketOrder("buy", "0.01")).order_id, timeout=30).status == "confirmed"
    page = tabs.open("about:blank")
    page.route("**/api/overview", with_an_explorer)
    page.goto(f"{service.url}/#/system")
    wallets = page.get_by_role("table", name="Wallets")
    expect(wallets.get_by_role("row").nth(1)).to_contain_text("1.5 SOL")
    expect(wallets).to_contain_text("USDC")
    expect(page.get_by_text("Node 127.0.0.1")).to_be_visible()
    expect(page.get_by_role("table", name="Endpoints").get_by_role("row").nth(1)).to_contain_text("100 %")
    expect(page.get_by_text(re.compile("old gets no orders since .*: its program was upgraded"))).to_be_visible()
