"""Orders on the page: placed, followed, refused."""

from playwright.sync_api import expect

from tests.support.chromium import Tabs, needs_chromium
from tests.support.service.process import Process

pytestmark = needs_chromium


def test_the_page_opens(tabs: Tabs, service: Process) -> None:
    page = tabs.open(service.url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
