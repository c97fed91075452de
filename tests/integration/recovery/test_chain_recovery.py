"""A standby that is promoted without the last commits, while orders settle on a localnet: what it lacks is on chain,
and comes back from there before anything is signed again."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from dexexec.bootstrap import async_standby
from dexexec.bootstrap.networks import MAINNET
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import Address, Database, has_asynchronous_standby
from tests.conftest import Servers
from tests.integration.store.test_postgres_failover import Pair, a_pair, configure
from tests.support.promoted_standby import lose_the_last_commits
from tests.support.service.process import say
from tests.support.waiting import until


@pytest.fixture(scope="module")
def asynchronous() -> Iterator[Pair]:
    """For all tests here; the last one promotes the standby."""
    with a_pair(synchronous=False) as found:
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
    asynchronous: Pair, user: str
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


async def test_promise_3_what_a_promoted_standby_lacks_comes_back_from_the_chain_and_nothing_doubles(
    asynchronous: Pair, servers: Servers
) -> None:
    found = await lose_the_last_commits(asynchronous, servers.redis_url)
    say(found.text())
    assert found.whole, "what was cut off had swapped"
