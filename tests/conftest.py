"""What all tests share: the event loop, and real servers for those that need them.

The servers are embedded ones, started once per run. To run the same tests against servers of your own, set
TEST_REDIS_URL and TEST_PG_HOST (with _PORT, _USER, _PASSWORD): each test makes its own database and
its own Redis prefix there, and removes the database again.
"""

import asyncio
import gc
import inspect
import os
import shutil
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import pytest
from tornado.ioloop import IOLoop

from dexexec.embedded import lifecycle
from dexexec.embedded.servers import POSTGRES_SETTINGS
from dexexec.store import Address
from tests.support.databases import Databases
from tests.support.turns import turn

PROGRAM_DUMPS = os.environ.pop("DEXEXEC_PROGRAM_DUMPS", "")
"""For tests/programs alone. The service would refuse it as a setting, so no other test and no process is shown it."""


hypothesis.settings.register_profile(
    "fixed", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("brief", hypothesis.settings.get_profile("fixed"), max_examples=10)
hypothesis.settings.load_profile("fixed")
"""Neither luck nor a busy machine fails a test. `--hypothesis-profile default` looks for new examples; `brief`
tries fewer, where the same tests run again with another Python."""


TURNS = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three for the whole suite, on one core as well, two for all unit tests; any other part runs in this process."""
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        return 3  # two cores are half idle with two: tests of processes and outages wait most of their time
    return 2 if [Path(path) for path in config.args] == [Path("tests/unit")] else 0


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called by pytest-xdist for each worker before it starts: all get one folder for the turns of tests."""
    if TURNS not in node.config.stash:
        node.config.stash[TURNS] = tempfile.TemporaryDirectory(prefix="dxt")
    node.workerinput["turns"] = node.config.stash[TURNS].name


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Takes the modules and the 10,000 collected tests out of every later search for garbage: tests that look for leaks
    collect at their end, and each of these would visit a million objects that live as long as the run."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Collects garbage before other plugins finish: one of them compiles modules of its own then. Python 3.11 cannot
    format the traceback of an object that fails while it is collected during that, and would end the whole run."""
    gc.collect()


def pytest_unconfigure(config: pytest.Config) -> None:
    """The folder goes with the run."""
    if TURNS in config.stash:
        config.stash[TURNS].cleanup()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Outside of everything else, so that waiting for a turn is no part of a test's time."""
    given: dict[str, str] = getattr(item.config, "workerinput", {})
    if "turns" not in given:
        return (yield)
    with turn(Path(given["turns"]), alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`async def` tests run on the `io_loop` fixture. Files with tests that run alone come first, since each of these
    waits for what the other workers are doing, and they wait for it in turn."""
    alone = {item.path for item in items if item.get_closest_marker("alone")}
    items.sort(key=lambda item: item.path not in alone)
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.gen_test(timeout=60))


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """A fresh loop per test, closed with everything on it, sockets too (pytest-tornado's uses what is deprecated)."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def current() -> IOLoop:
        return IOLoop.current()

    io_loop = loop.run_until_complete(current())
    yield io_loop
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    io_loop.close(all_fds=True)  # Tornado's clients leave their sockets to the peer, or to a timer of this loop
    asyncio.set_event_loop(None)


@dataclass(frozen=True, slots=True)
class Servers:
    """A Postgres whose user may create databases, and a Redis."""

    postgres: Address
    redis_url: str
    embedded: bool = False
    """Whether this Postgres is gone after the run."""


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets (about 100 bytes), unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="dx"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


UNSYNCED = {"fsync": "off", "full_page_writes": "off"}
"""No test cuts the power, and what a killed server wrote is in the system's cache. Each DROP DATABASE would wait until
the disk has all of it, for seconds."""


@pytest.fixture(scope="session")
def servers(short_dir: Path) -> Iterator[Servers]:
    """Real servers: those named by TEST_*, or embedded ones."""
    with ExitStack() as stack:
        host, redis_url = os.environ.get("TEST_PG_HOST"), os.environ.get("TEST_REDIS_URL")
        if host:
            address = Address(
                host=host,
                port=int(os.environ.get("TEST_PG_PORT", "5432")),
                user=os.environ.get("TEST_PG_USER", "postgres"),
                database="postgres",
                password=os.environ.get("TEST_PG_PASSWORD", ""),
            )
        else:
            with mock.patch.dict(POSTGRES_SETTINGS, UNSYNCED):
                started = stack.enter_context(lifecycle.postgres(short_dir / "data"))
            address = Address(host=started.host, port=started.port, user=started.user, database=started.dbname)
        redis_url = redis_url or stack.enter_context(lifecycle.valkey(short_dir / "data"))
        yield Servers(address, redis_url, embedded=not host)


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    """Databases, used again."""
    with Databases(servers.postgres, kept=not servers.embedded) as databases:
        yield databases


@pytest.fixture
def database_address(databases: Databases) -> Iterator[Address]:
    """A database with the tables of the service, and no rows."""
    with databases.migrated() as address:
        yield address


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[Address]:
    """A database without tables."""
    with databases.empty() as address:
        yield address


@pytest.fixture
def redis_prefix() -> str:
    """A prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"
