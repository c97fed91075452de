"""One browser, and one service per file; a page of its own for each test."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from dexexec.store import Address
from tests.conftest import Servers
from tests.support.chromium import Tabs, chromium, in_a_thread
from tests.support.databases import Databases
from tests.support.service.process import QUICK, Launcher, Process, servers_at


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. Not of the session: its loop must not run in the thread of other tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    """The pages of this test."""
    tabs = Tabs(browser)
    yield tabs
    tabs.close()


@pytest.fixture(scope="module")
def record(databases: Databases) -> Iterator[Address]:
    """The database of this file's service."""
    with ExitStack() as stack:
        yield in_a_thread(stack.enter_context, databases.migrated())


@pytest.fixture(scope="module")
def launcher(servers: Servers, record: Address) -> Iterator[Launcher]:
    """Processes on the shared servers, with mock venues that take no time."""
    with Launcher(**servers_at(record, servers.redis_url, record.database), **QUICK) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def service(launcher: Launcher) -> Process:
    """The whole service, ready."""
    service = launcher.start()
    service.ready()
    return service
