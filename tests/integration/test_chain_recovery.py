"""A standby that is promoted without the last commits, while orders settle on a localnet: what it lacks is on chain,
and comes back from there before anything is signed again."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from solders.keypair import Keypair

from dexexec import standbys
from dexexec.domain.token import USDC
from dexexec.errors import StartupError
from dexexec.networks import MAINNET
from dexexec.observe import Observer, make_logger
from dexexec.store import Address, Database, has_asynchronous_standby
from tests.acceptance.client import http, watching
from tests.acceptance.judge import judge, rows
from tests.acceptance.localnet_judge import LocalnetChain
from tests.acceptance.service import Stand, say, servers_at
from tests.chaos.localnet import settings_on
from tests.conftest import Servers
from tests.integration.localnet import rpc
from tests.integration.posters import CLIENTS, Posters
from tests.integration.test_postgres_failover import Pair, a_pair, configure
from tests.waiting import until

SLOT_MS = 40
"""A blockhash dies within 6 s, and not within 60."""
RATE = 25
"""Orders per second."""
RICH = {"": (9, 1_000 * 10**9), USDC: (6, 150_000 * 10**6)}
READ_BACK = "SELECT count(*) AS n FROM attempts WHERE proof->>'recovered' = 'true'"
UNKNOWN = "SELECT id, status, side, amount FROM orders WHERE client = 'unknown'"


@pytest.fixture(scope="module")
def asynchronous() -> Iterator[Pair]:
    """For all tests here; the last one promotes the standby."""
    with a_pair(synchronous=False) as found:
        yield found


async def a_localnet(stand: Stand, wallet: Keypair) -> str:
    """The URL of one, with money for the wallet."""
    folder = stand.home / "localnet"
    process = stand.start(
        "localnet", "--port", "0", "--ws-port", "0", "--slot-ms", str(SLOT_MS), "--data-dir", str(folder)
    )
    banner = await asyncio.to_thread(process.banner)
    url = next(line.split()[1] for line in banner.splitlines() if line.strip().startswith("RPC"))
    for mint, (decimals, amount) in RICH.items():
        await rpc(url, "localnet_fund", str(wallet.pubkey()), mint, decimals, amount)
    return url


class Warned(Observer):
    """Keeps what is doubtful."""

    def __init__(self) -> None:
        super().__init__(make_logger("critical"))
        self.lines: list[str] = []

    def setting_doubtful(self, warning: str) -> None:
        self.lines.append(warning)


@pytest.mark.parametrize("user", ["postgres", "plain"])
async def test_a_standby_that_commits_do_not_wait_for_is_warned_of_and_refused_for_mainnet(
    asynchronous: Pair, user: str
) -> None:
    """Also to a role that is shown nothing of how a standby is connected."""
    with psycopg.connect(asynchronous.first.conninfo(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute("CREATE ROLE plain LOGIN")
    database, observer = Database(replace(asynchronous.first, user=user)), Warned()
    await database.open()
    try:
        await standbys.warn(database, observer)
        assert ["synchronous_standby_names" in line for line in observer.lines] == [True]
        await standbys.check_mainnet(database, ["devnet"], allowed=False)
        await standbys.check_mainnet(database, [MAINNET], allowed=True)
        with pytest.raises(StartupError, match="DEXEXEC_ALLOW_ASYNC_STANDBY=1"):
            await standbys.check_mainnet(database, [MAINNET], allowed=False)
        configure(asynchronous.first, "synchronous_standby_names", "*")

        async def in_step() -> bool:
            return not await has_asynchronous_standby(database)

        await until(in_step)
        await standbys.check_mainnet(database, [MAINNET], allowed=False)
    finally:
        await database.close()
        configure(asynchronous.first, "synchronous_standby_names", "")


async def test_one_postgres_alone_has_no_standby_and_hosts_that_are_named_are_some(database_address: Address) -> None:
    for others, wanted in (((), False), (((database_address.host, database_address.port),), True)):
        database = Database(replace(database_address, others=others))
        await database.open()
        try:
            assert await has_asynchronous_standby(database) == wanted
        finally:
            await database.close()


async def test_promise_3_what_a_promoted_standby_lacks_comes_back_from_the_chain_and_nothing_doubles(
    asynchronous: Pair, servers: Servers, redis_prefix: str
) -> None:
    pair, wallet = asynchronous, Keypair()
    settings = servers_at(pair.address, servers.redis_url, redis_prefix) | {
        "PG_HOST": "127.0.0.1,127.0.0.1",
        "PG_PORT": f"{pair.first.port},{pair.second.port}",
        "DEXEXEC_RETRY_BASE_MS": "10",
        "DEXEXEC_MOCK_LATENCY_MS": "20",
    }
    with Stand(**settings) as stand:
        url = await a_localnet(stand, wallet)
        stand.environment |= settings_on(url, wallet)
        api, workers = stand.start("api"), [stand.start("worker") for _ in range(2)]
        await asyncio.to_thread(api.ready)
        async with http() as calls, asyncio.timeout(55):
            posters = Posters(calls, api.url, pause=CLIENTS / RATE)
            await posters.accept_more(20)
            await asyncio.to_thread(pair.cut_the_second_off)
            await posters.accept_more(40)
            await asyncio.to_thread(pair.kill, "first")
            before = set(posters.accepted)
            await asyncio.to_thread(pair.promote_the_second)
            promoted = time.monotonic()

            async def compares() -> bool:
                return (await calls.get(f"{api.url}/readyz")).body["missing"] == ["chain-comparison"]

            await until(compares, pause=0.05)
            await posters.accept_more(5)  # they wait
            await asyncio.to_thread(api.ready)
            say(f"signing again {time.monotonic() - promoted:.1f} s after the promotion")
            await posters.accept_more(5)
            await posters.stop()
            stored = {str(row["id"]) for row in rows(pair.second, "SELECT id FROM orders")}
            async with watching(lambda: api.url, stored):
                pass
            lost, unknown = before - stored, rows(pair.second, UNKNOWN)
            [read_back] = rows(pair.second, READ_BACK)
            say(f"{len(before)} accepted, {len(lost)} lost without a swap, {len(unknown)} back, {read_back}")
            assert unknown, "what was cut off had swapped"
            assert {(row["status"], row["side"], str(row["amount"])) for row in unknown} == {
                ("confirmed", "buy", "0.01")
            }
            assert {str(row["id"]) for row in unknown} <= before | set(posters.unknown)
            for order_id in lost:
                assert (await calls.get(f"{api.url}/api/orders/{order_id}")).status == 404
            # Fails for a transaction of the wallet that no attempt records, and for an order that swapped twice.
            judge(pair.second, list(stored), LocalnetChain(url, str(wallet.pubkey())))
        assert all(worker.running for worker in workers)
