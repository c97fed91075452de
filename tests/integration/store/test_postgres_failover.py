"""A real primary with a streaming standby that takes its place: the service finds the new primary by itself, and what
was acknowledged, which with synchronous replication is on both, is neither lost nor done twice."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from dexexec.bootstrap.shutdown import END_SECONDS
from dexexec.embedded import lifecycle
from dexexec.errors import UnavailableError
from dexexec.store import Address, Database
from tests.conftest import Servers
from tests.support.posters import Posters
from tests.support.postgres_pair import PostgresPair, configure, open_postgres_pair
from tests.support.service.client import http, watching
from tests.support.service.process import Launcher, say, servers_at
from tests.support.service.promise_checks import agree, check_promises, rows, unfinished
from tests.support.waiting import until

SLOW = {"DEXEXEC_MOCK_LATENCY_MS": "20", "DEXEXEC_MOCK_LANDING_MS": "200", "DEXEXEC_RETRY_BASE_MS": "10"}
"""Swaps that take a while, so that many are under way whenever the primary dies."""


@pytest.fixture(scope="module")
def pair() -> Iterator[PostgresPair]:
    with open_postgres_pair() as found:
        yield found


@pytest.fixture
def to_be_parted() -> Iterator[PostgresPair]:
    with open_postgres_pair() as found:
        yield found


async def test_a_standby_is_never_used_as_the_primary(pair: PostgresPair) -> None:
    """In any position of the list; and if there is no other host, that is an outage."""
    turned = Address(host=pair.second.host, port=pair.second.port, others=((pair.first.host, pair.first.port),))
    connection = await Database(turned).dedicated()
    assert connection.info.port == pair.first.port
    await connection.close()
    with pytest.raises(UnavailableError) as caught:
        await Database(pair.second).dedicated()
    assert "hot standby" in str(caught.value.__cause__)


async def write(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("COMMENT ON DATABASE postgres IS 'written to'")


async def test_a_server_that_is_fenced_by_its_configuration_is_an_outage(pair: PostgresPair) -> None:
    """For sessions that are there already, and for new ones; and it is back once that is over."""
    database = Database(pair.first)
    await database.open()

    async def takes_writes() -> bool:
        try:
            await write(database)
        except UnavailableError:
            return False
        return True

    async def refuses_writes() -> bool:
        return not await takes_writes()

    try:
        assert await takes_writes()
        configure(pair.first, "default_transaction_read_only", "on")
        try:
            await until(refuses_writes)
            with pytest.raises(UnavailableError, match=r"^Postgres takes no writes$"):
                await write(database)
            with pytest.raises(UnavailableError) as caught:
                await database.dedicated()
            assert "default_transaction_read_only is on for the whole server" in str(caught.value.__cause__)
        finally:
            configure(pair.first, "default_transaction_read_only", "off")
        await until(takes_writes)
    finally:
        await database.close()


async def test_the_service_goes_on_with_the_promoted_standby_and_keeps_every_promise(
    pair: PostgresPair, servers: Servers, redis_prefix: str
) -> None:
    settings = servers_at(pair.address, servers.redis_url, redis_prefix) | {
        "PG_HOST": "127.0.0.1,127.0.0.1",
        "PG_PORT": f"{pair.first.port},{pair.second.port}",
    }
    with Launcher(**settings, **SLOW) as launcher:
        api, worker = launcher.start("api"), launcher.start("worker")
        await asyncio.to_thread(api.ready)
        async with http() as calls, asyncio.timeout(45):
            posters = Posters(calls, api.url)
            await posters.accept_more(60)
            await asyncio.to_thread(pair.kill, "first")
            died = time.monotonic()
            before = set(posters.accepted)
            under_way = unfinished(pair.standby)
            assert under_way > 0, "orders are in the middle of their way"
            await posters.are_refused()
            await asyncio.to_thread(pair.promote_the_second)
            say(f"promoted {time.monotonic() - died:.2f} s after, {under_way} orders under way")
            await posters.accept_more(60)
            say(f"60 more accepted {time.monotonic() - died:.2f} s after")
            await posters.stop()
            stored = {str(row["id"]) for row in rows(pair.second, "SELECT id FROM orders")}
            assert before <= stored, "what was acknowledged is on the standby"
            order_ids = [*posters.accepted, *stored.intersection(posters.unknown)]
            async with watching(lambda: api.url, order_ids) as watch:
                pass
            say(f"all {len(order_ids)} ended {time.monotonic() - died:.2f} s after")
        place = f"127.0.0.1:{pair.first.port},127.0.0.1:{pair.second.port}/postgres"
        assert place in api.banner()
        assert api.running
        assert worker.running
    check_promises(pair.second, order_ids)
    agree(watch.events, pair.second)


async def test_an_order_that_no_standby_has_is_never_acknowledged(
    to_be_parted: PostgresPair, servers: Servers, redis_prefix: str
) -> None:
    """Not even to a client that posts again with its key, although the primary has stored the order meanwhile: giving
    up on a commit that waits for a standby makes it visible."""
    settings = servers_at(to_be_parted.first, servers.redis_url, redis_prefix) | {"DEXEXEC_REQUEST_TIMEOUT_MS": "500"}
    with Launcher(**settings, **SLOW) as launcher, ExitStack() as stack:
        api, worker = launcher.start("api"), launcher.start("worker")
        await asyncio.to_thread(api.ready)
        async with http() as calls, asyncio.timeout(45):
            await asyncio.to_thread(to_be_parted.kill, "second")
            key = {"Idempotency-Key": redis_prefix}
            refused = [await calls.order(api.url, **key) for _ in range(3)]
            assert [answer.status for answer in refused] == [503] * 3
            [row] = rows(to_be_parted.first, "SELECT id FROM orders")
            await asyncio.to_thread(
                stack.enter_context,
                lifecycle.postgres(to_be_parted.folder / "second", tcp_port=to_be_parted.second.port),
            )

            async def accepted() -> str:
                answer = await calls.order(api.url, **key)
                assert answer.status in {202, 503}, answer
                return str(answer.body["orderId"]) if answer.status == 202 else ""

            assert await until(accepted, pause=0.05) == str(row["id"])
            async with watching(lambda: api.url, [str(row["id"])]):
                pass
        assert worker.running
    check_promises(to_be_parted.first, [str(row["id"])])
    await asyncio.to_thread(to_be_parted.kill, "first")
    await asyncio.to_thread(to_be_parted.promote_the_second)
    check_promises(to_be_parted.second, [str(row["id"])])


async def test_promise_15_sigterm_ends_every_phase_while_no_commit_is_acknowledged(
    to_be_parted: PostgresPair, servers: Servers, redis_prefix: str
) -> None:
    """The last synchronous standby is lost. One process has orders in hand, one cannot register its worker, and one
    cannot make its tables; each gets SIGTERM, and the next process finishes the orders."""
    settings = servers_at(to_be_parted.first, servers.redis_url, redis_prefix) | {"DEXEXEC_DRAIN_SECONDS": "1"}
    with psycopg.connect(to_be_parted.first.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE fresh")
    with Launcher(**settings, DEXEXEC_MOCK_LANDING_MS="4000") as launcher, ExitStack() as stack:
        working = launcher.start()
        await asyncio.to_thread(working.ready)
        async with http() as calls, asyncio.timeout(55):
            order_ids = [await calls.accepted(working.url) for _ in range(5)]
            submitted = "SELECT id FROM orders WHERE status = 'submitted'"
            await until(lambda: len(rows(to_be_parted.first, submitted)) == 5, pause=0.05)
            await asyncio.to_thread(to_be_parted.kill, "second")
            registering = launcher.start("worker")
            starting = launcher.start("worker", PG_DATABASE="fresh", DEXEXEC_REDIS_PREFIX=f"{redis_prefix}fresh")
            waits = "SELECT datname FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'dexexec'"
            both = [{"datname": "fresh"}, {"datname": "postgres"}]

            def wait_for_the_standby() -> bool:
                return [dict(row) for row in rows(to_be_parted.first, f"{waits} GROUP BY 1 ORDER BY 1")] == both

            await until(wait_for_the_standby, pause=0.05)

            async def reported() -> bool:
                ready = await calls.get(f"{working.url}/readyz")
                return ready.body["causes"] == {"postgres": "Postgres does not commit in time"}

            await until(reported, pause=0.05)
            begun = time.monotonic()
            processes = (working, registering, starting)
            codes = await asyncio.gather(*(asyncio.to_thread(process.stop) for process in processes))
            taken = time.monotonic() - begun
            say(f"all ended after {taken:.2f} s")
            assert codes == [0, 0, 0]
            assert taken < 1 + END_SECONDS
            await asyncio.to_thread(
                stack.enter_context,
                lifecycle.postgres(to_be_parted.folder / "second", tcp_port=to_be_parted.second.port),
            )
            api = launcher.start()
            async with watching(lambda: api.url, order_ids):
                pass
    check_promises(to_be_parted.first, order_ids)


async def test_a_session_that_may_only_read_is_an_outage(database_address: Address) -> None:
    """As a managed Postgres makes them when its disk is full."""
    database = Database(database_address)
    await database.open()
    try:
        with pytest.raises(UnavailableError):
            await write_without_leave(database)
    finally:
        await database.close()


async def write_without_leave(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SET default_transaction_read_only = on")
        await connection.execute("CREATE TABLE t ()")
