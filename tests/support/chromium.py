"""A real browser for the tests of the page: Debian's Chromium, driven by Playwright.

Playwright's loop runs in the thread of its tests until the browser is closed: what needs a loop of its own goes through
`in_a_thread`.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

P = ParamSpec("P")
T = TypeVar("T")

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 20_000
"""How long the page may take for what a test waits for (ms)."""

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`security policy: ${event.effectiveDirective} refuses ${event.blockedURI || event.sample}`));
"""

needs_chromium = pytest.mark.skipif(
    PROGRAM is None, reason="chromium is not installed (apt-get install chromium); .ci/run installs it"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser. It has no windows and a new profile, which is removed with everything else that it writes."""
    assert PROGRAM is not None
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory(prefix="dxc") as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=PROGRAM,
            chromium_sandbox=False,  # needs rights that containers and root do not have
            args=["--disable-dev-shm-usage", "--disable-gpu"],  # containers have little shared memory
            env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home},
        )
        try:
            yield browser
        finally:
            browser.close()


class Tabs:
    """The pages of one test, each with cookies and storage of its own. It fails if one of them complains: an error on
    the console, an exception that nothing caught, or a refusal by the Content-Security-Policy."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._complaints: list[str] = []
        self._expected: list[str] = []

    def open(self, url: str, **options: Any) -> Page:
        """A new page that shows `url`. `options` are those of a browser context, such as `color_scheme="dark"`."""
        context = self._browser.new_context(**options)
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._take)
        context.on("weberror", lambda error: self._complaints.append(f"uncaught: {error.error}"))
        page = context.new_page()
        page.goto(url)
        return page

    def expect_complaints(self, pattern: str) -> None:
        """What the browser itself reports while, for example, the service is down."""
        self._expected.append(pattern)

    def close(self) -> None:
        """Close all pages, and fail for what was not expected."""
        for context in self._contexts:
            context.close()
        expected = re.compile("|".join(self._expected) or r"(?!)")
        unexpected = [complaint for complaint in self._complaints if not expected.search(complaint)]
        assert not unexpected, unexpected

    def _take(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            place = message.location
            self._complaints.append(f"{message.type}: {message.text} ({place['url']}:{place['lineNumber']})")


def in_a_thread(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """Call a function that runs an event loop."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function, *arguments, **keywords).result()
