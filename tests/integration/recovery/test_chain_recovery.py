"""A standby that is promoted without the last commits, while orders settle on a localnet: what it lacks is on chain,
and comes back from there before anything is signed again."""

import asyncio
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import psycopg
import pytest
from solders.keypair import Keypair

from dexexec.bootstrap import async_standby
from dexexec.bootstrap.clusters import MAINNET
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.token import USDC
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import Address, Database, has_asynchronous_standby
from tests.conftest import Servers
from tests.support.localnet.modes import in_turn
from tests.support.posters import CLIENTS, Posters
from tests.support.postgres_pair import PostgresPair, configure, open_postgres_pair
from tests.support.service.client import Http, http, watching
from tests.support.service.localnet import Funds, fund, settings_on, start_localnet
from tests.support.service.localnet_promise_checks import LocalnetChain
from tests.support.service.process import Launcher, Process, say, servers_at
from tests.support.service.promise_checks import check_promises, rows
from tests.support.waiting import until

RATE = 25
"""Orders per second."""
BEFORE, CUT_OFF = 20, 40
"""Orders that are accepted before the standby is cut off, and after."""
RICH: Funds = {"": (9, 1_000 * 10**9), USDC: (6, 150_000 * 10**6)}
SECONDS = 55.0
"""For one round: with slots of 40 ms a blockhash is dead, and that final, within 8 s."""
WORKERS = 2
READ_BACK = "SELECT count(*) AS n FROM attempts WHERE proof->>'recovered' = 'true'"
WHOLE = "SELECT id, status, side, amount FROM orders WHERE client = 'unknown'"


@pytest.fixture(scope="module")
def asynchronous() -> Iterator[PostgresPair]:
    """For all tests here; the last one promotes the standby."""
    with open_postgres_pair(synchronous=False) as found:
        yield found


class Warned(Observer):
    """Records the conflicts."""

    def __init__(self) -> None:
        super().__init__(make_logger("critical"))
        self.lines: list[str] = []

    def suspicious_setting_found(self, warning: str) -> None:
        self.lines.append(warning)


@pytest.mark.parametrize("user", ["postgres", "plain"])
async def test_a_standby_that_commits_do_not_wait_for_is_warned_of_and_refused_for_mainnet(
    asynchronous: PostgresPair, user: str
) -> None:
    """Also to a role that is shown nothing of how a standby is connected."""
    with psycopg.connect(asynchronous.first.conninfo(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute("CREATE ROLE plain LOGIN")
    database, observer = Database(replace(asynchronous.first, user=user)), Warned()
    await database.open()
    try:
        await async_standby.warn(database, observer)
        assert ["synchronous_standby_names" in line for line in observer.lines] == [True]
        await async_standby.check_mainnet(database, ["devnet"], allowed=False)
        await async_standby.check_mainnet(database, [MAINNET], allowed=True)
        with pytest.raises(StartupError, match="DEXEXEC_ALLOW_ASYNC_STANDBY=1"):
            await async_standby.check_mainnet(database, [MAINNET], allowed=False)
        configure(asynchronous.first, "synchronous_standby_names", "*")

        async def in_step() -> bool:
            return not await has_asynchronous_standby(database)

        await until(in_step)
        await async_standby.check_mainnet(database, [MAINNET], allowed=False)
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


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the orders: accepted before the primary died, lost without a swap, come back whole, and attempts
    that were read back. `seconds` is from the promotion until orders were signed again."""

    accepted: int
    lost: int
    whole: int
    read_back: int
    seconds: float

    def text(self) -> str:
        """One line."""
        return (
            f"{self.accepted} accepted, {self.lost} lost without a swap, {self.whole} back whole, {self.read_back}"
            f" attempts read back; signed again after {self.seconds:.1f} s"
        )


async def lose_the_last_commits(pair: PostgresPair, redis_url: str) -> Found:
    """One round. `pair` is asynchronous. Fails when a promise is broken."""
    wallet = Keypair()
    settings = servers_at(pair.address, redis_url, f"t{uuid.uuid4().hex[:10]}") | {
        "PG_HOST": "127.0.0.1,127.0.0.1",
        "PG_PORT": f"{pair.first.port},{pair.second.port}",
        "DEXEXEC_RETRY_BASE_MS": "10",
        "DEXEXEC_MOCK_LATENCY_MS": "20",
    }
    with Launcher(**settings) as launcher:
        _, url = await start_localnet(launcher, launcher.home / "localnet", consensus=in_turn())
        await fund(url, str(wallet.pubkey()), RICH)
        launcher.environment |= settings_on(url, wallet)
        api, workers = launcher.start("api"), [launcher.start("worker") for _ in range(WORKERS)]
        await asyncio.to_thread(api.ready)
        async with http() as calls, asyncio.timeout(SECONDS):
            posters = Posters(calls, api.url, pause=CLIENTS / RATE)
            await posters.accept_more(BEFORE)
            await asyncio.to_thread(pair.cut_the_second_off)
            await posters.accept_more(CUT_OFF)
            await asyncio.to_thread(pair.kill, "first")
            before = set(posters.accepted)
            await asyncio.to_thread(pair.promote_the_second)
            promoted = time.monotonic()
            await until(lambda: compares(calls, api), pause=0.05)
            missing = before - {str(row["id"]) for row in rows(pair.second, "SELECT id FROM orders")}
            again = await posters.post_again(missing)
            await posters.accept_more(5)  # they wait
            await asyncio.to_thread(api.ready)
            seconds = time.monotonic() - promoted
            await posters.accept_more(5)
            await posters.stop()
            stored = {str(row["id"]) for row in rows(pair.second, "SELECT id FROM orders")}
            async with watching(lambda: api.url, stored):
                pass
            lost, whole = before - stored, rows(pair.second, WHOLE)
            # Who posts again with a key gets the order of then if that is known, whenever it came to be known.
            assert await posters.post_again(before) == {one: again[one] if one in lost else one for one in before}
            assert swapped_again(pair.second, again) <= lost, "a key was swapped twice"
            for row in whole:
                assert (row["status"], row["side"], str(row["amount"])) == ("confirmed", "buy", "0.01"), row
                assert str(row["id"]) in before.union(posters.unknown)
            for order_id in lost:
                assert (await calls.get(f"{api.url}/api/orders/{order_id}")).status == 404
            # Fails for a transaction of the wallet that no attempt records, and for an order that swapped twice.
            check_promises(pair.second, list(stored), LocalnetChain(url, str(wallet.pubkey())))
        assert all(process.running for process in (api, *workers))
    [read_back] = rows(pair.second, READ_BACK)
    return Found(len(before), len(lost), len(whole), int(str(read_back["n"])), seconds)


def swapped_again(address: Address, again: Mapping[str, str]) -> set[str]:
    """Lost orders whose second one, posted with the same key, has swapped or may do so."""
    ended = {str(row["id"]): row for row in rows(address, "SELECT id, failure_reason FROM orders")}
    return {
        first
        for first, second in again.items()
        if second != first and ended[second]["failure_reason"] != FailureReason.DUPLICATE
    }


async def compares(calls: Http, api: Process) -> bool:
    """Whether that is all that is missing."""
    return (await calls.get(f"{api.url}/readyz")).body["missing"] == ["chain-comparison"]


async def test_promise_3_what_a_promoted_standby_lacks_comes_back_from_the_chain_and_nothing_doubles(
    asynchronous: PostgresPair, servers: Servers
) -> None:
    found = await lose_the_last_commits(asynchronous, servers.redis_url)
    say(found.text())
    assert found.whole, "what was cut off had swapped"
