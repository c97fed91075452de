"""The service with exactly the rights that the documents list, in Postgres and in Redis, and with one right less."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

from dexexec.connections import open_redis
from dexexec.errors import UnusableError
from dexexec.servers import Servers as Addresses
from dexexec.store import Address, check_ownership
from tests.conftest import Servers
from tests.hostile import HOSTILE, database_of_a_role
from tests.integration.conftest import bench_at
from tests.parts import open_database, running

SCALING = (Path(__file__).parents[2] / "docs" / "SCALING.md").read_text()
PASSWORD = "x"  # noqa: S105


def documented(start: str) -> str:
    """The block of the documents that begins with `start`."""
    _, _, rest = SCALING.partition(start)
    assert rest, start
    return start + rest.partition("```")[0]


@pytest.fixture
def least_postgres(servers: Servers) -> Iterator[tuple[Address, Address]]:
    """The owner of the tables, and the role that runs: its sessions begin with foreign settings."""
    with (
        database_of_a_role(servers.postgres) as service,
        database_of_a_role(servers.postgres, **HOSTILE) as owner,
        psycopg.connect(replace(servers.postgres, database=owner.database).conninfo(), autocommit=True) as connection,
    ):
        connection.execute(words("CREATE SCHEMA dexexec", owner, service))
        yield (
            replace(owner, schema="dexexec"),
            replace(service, database=owner.database, schema="dexexec"),
        )


def words(start: str, owner: Address, service: Address) -> bytes:
    """A block of the documents, for these roles."""
    text = documented(start).replace("dexexec_owner", owner.user).replace("dexexec_service", service.user)
    return text.encode()


@pytest.fixture
def least_redis(servers: Servers, redis_prefix: str) -> Iterator[tuple[redis.Redis, str]]:
    """A client that may do everything, and the URL of a user that may do what the documents list."""
    acl = documented("ACL SETUSER dexexec").split()
    acl = [word.replace("{dexexec}", f"{{{redis_prefix}}}").replace("&dexexec:", f"&{redis_prefix}:") for word in acl]
    acl[2:5] = [redis_prefix, "on", f">{PASSWORD}"]
    with redis.Redis.from_url(servers.redis_url) as client:
        client.execute_command(*acl)
        client.acl_log_reset()
        try:
            yield client, as_user(servers.redis_url, redis_prefix)
        finally:
            client.acl_deluser(redis_prefix)
            client.delete(*client.keys(f"{{{redis_prefix}}}:*"), "-")


def as_user(url: str, user: str) -> str:
    found = urlsplit(url)
    return urlunsplit(found._replace(netloc=f"{user}:{PASSWORD}@{found.netloc.rpartition('@')[2]}"))


async def test_orders_go_their_whole_way_with_the_least_rights_that_are_documented(
    least_postgres: tuple[Address, Address], least_redis: tuple[redis.Redis, str], redis_prefix: str
) -> None:
    owner, service = least_postgres
    administrator, url = least_redis
    async with open_database(owner) as database, database.connection() as connection:
        await connection.execute(words("GRANT USAGE ON SCHEMA dexexec", owner, service))
        await check_ownership(database)
    async with open_database(service) as database:
        with pytest.raises(UnusableError, match=f"DEXEXEC_KEEP_DAYS is set.*run workers as {owner.user}"):
            await check_ownership(database)
    async with open_redis(Addresses(service, url, ()), redis_prefix):
        pass
    async with bench_at(service, url, redis_prefix) as bench:
        worker = bench.worker()
        async with running(worker.run(), bench.sweeper().run()):
            order_ids = [await bench.post() for _ in range(10)]
            assert {(await bench.ended(order_id))[-1].status for order_id in order_ids} == {"confirmed"}
            worker.stop()
        await bench.limiter.take("client", 10)
    denied = [entry for entry in administrator.acl_log() if entry["username"] == redis_prefix]
    assert denied == []


LESS = ["-evalsha", "-script", "-xautoclaim", "-publish", "-subscribe", "-pexpire", "resetchannels", "resetkeys"]


@pytest.mark.parametrize("less", LESS)
async def test_a_right_that_is_lacking_in_redis_ends_the_start_with_its_name(
    least_redis: tuple[redis.Redis, str], redis_prefix: str, less: str
) -> None:
    administrator, url = least_redis
    administrator.execute_command("ACL", "SETUSER", redis_prefix, less)  # type: ignore[no-untyped-call]
    with pytest.raises(UnusableError, match=r"it refuses [A-Z ]+ to the user .*docs/SCALING\.md") as raised:
        async with open_redis(Addresses(Address("/nowhere"), url, ()), redis_prefix):
            pass
    assert less.removeprefix("-").upper() in str(raised.value) or less.startswith("reset")
    assert administrator.keys(f"{{{redis_prefix}}}:rights") == []
