"""What the key ring reads, from Postgres and from the fake: `KeySource` after each of the operator's commands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from secrets import token_bytes
from typing import Protocol

import pytest

from dexexec.access.key_ring import KeySource
from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope, owned_name
from dexexec.domain.api_token import ID_BYTES, SECRET_BYTES, ApiToken, new_token, parse_token
from dexexec.domain.order_filter import OrderFilter
from dexexec.store import Address, Database, migrate
from dexexec.store.api_keys import ApiKeyTable, StoredSecret, create_key, list_keys, revoke_key, rotate_key
from tests.support.fakes.keys import MemoryKeys
from tests.support.limit_orders import limit_order
from tests.support.parts import open_database, open_store


def fresh() -> ApiToken:
    return new_token(token_bytes(ID_BYTES + SECRET_BYTES))


class Keys(Protocol):
    """The keys of a service, and the operator's commands."""

    @property
    def source(self) -> KeySource: ...

    async def create(self, name: str, scope: Scope, expires_in: float | None = None) -> ApiToken: ...

    async def rotate(self, name: str, keep: float) -> ApiToken: ...

    async def revoke(self, name: str) -> None: ...

    async def last_use(self, token: ApiToken) -> float | None:
        """Seconds since the secret was last used; None: never."""


class InPostgres:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.source = ApiKeyTable(database, self._unreadable)
        self.unreadable: list[str] = []

    def _unreadable(self, name: str, _: Exception) -> None:
        self.unreadable.append(name)

    async def create(self, name: str, scope: Scope, expires_in: float | None = None) -> ApiToken:
        token = fresh()
        span = None if expires_in is None else timedelta(seconds=expires_in)
        await create_key(self._database, name, [scope], span, token)
        return token

    async def rotate(self, name: str, keep: float) -> ApiToken:
        token = fresh()
        assert await rotate_key(self._database, name, token, keep=timedelta(seconds=keep), expires_in=None)
        return token

    async def revoke(self, name: str) -> None:
        assert await revoke_key(self._database, name)

    async def last_use(self, token: ApiToken) -> float | None:
        async with self._database.connection() as connection:
            statement = "SELECT extract(epoch FROM clock_timestamp() - last_used_at) FROM api_key_secrets WHERE id = %s"
            row = await (await connection.execute(statement, (token.id,))).fetchone()
        assert row is not None
        return None if row[0] is None else float(row[0])


class InMemory:
    def __init__(self) -> None:
        self.source = MemoryKeys(SystemClock())

    async def create(self, name: str, scope: Scope, expires_in: float | None = None) -> ApiToken:
        return parsed(self.source.create(name, scope, expires_in=expires_in))

    async def rotate(self, name: str, keep: float) -> ApiToken:
        return parsed(self.source.rotate(name, keep))

    async def revoke(self, name: str) -> None:
        self.source.revoke(name)

    async def last_use(self, token: ApiToken) -> float | None:
        at = self.source.used.get(token.id)
        return None if at is None else self.source.clock.monotonic() - at


def parsed(text: str) -> ApiToken:
    token = parse_token(text)
    assert token is not None
    return token


@asynccontextmanager
async def in_memory() -> AsyncIterator[Keys]:
    yield InMemory()


@pytest.fixture(params=["memory", "postgres"])
def open_keys(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[Keys]]:
    if request.param == "memory":
        return in_memory
    address: Address = request.getfixturevalue("database_address")

    @asynccontextmanager
    async def in_postgres() -> AsyncIterator[Keys]:
        async with open_database(address) as database:
            await migrate(database)
            yield InPostgres(database)

    return in_postgres


OpenKeys = Callable[[], AbstractAsyncContextManager[Keys]]


async def secret_of(keys: Keys, token: ApiToken) -> StoredSecret:
    [found] = [secret for secret in await keys.source.secrets() if secret.id == token.id]
    return found


async def test_a_key_is_read_back_with_its_digest_and_not_with_its_secret(open_keys: OpenKeys) -> None:
    async with open_keys() as keys:
        token = await keys.create("desk", Scope.READ)
        found = await secret_of(keys, token)
        assert (found.key.name, found.key.scopes) == ("desk", frozenset({Scope.READ}))
        assert (found.digest, found.seconds_left, found.replaced) == (token.digest(), None, False)
        assert found.key.owner > 0
        assert token.secret not in repr(found)


async def test_a_key_that_expires_has_so_many_seconds_left_and_is_read_after_its_end_too(open_keys: OpenKeys) -> None:
    async with open_keys() as keys:
        later = await secret_of(keys, await keys.create("later", Scope.TRADE, expires_in=1_000))
        assert later.seconds_left is not None
        assert 900 < later.seconds_left <= 1_000
        ended = await secret_of(keys, await keys.create("ended", Scope.TRADE, expires_in=0))
        assert ended.seconds_left is not None
        assert ended.seconds_left <= 0
        assert not ended.replaced


async def test_a_rotation_keeps_the_owner_and_ends_the_former_secret_alone(open_keys: OpenKeys) -> None:
    async with open_keys() as keys:
        first = await keys.create("desk", Scope.TRADE)
        second = await keys.rotate("desk", keep=1_000)
        one, two = await secret_of(keys, first), await secret_of(keys, second)
        assert one.key.owner == two.key.owner
        assert one.seconds_left is not None
        assert 900 < one.seconds_left <= 1_000
        assert (one.replaced, two.replaced, two.seconds_left) == (True, False, None)


async def test_a_revoked_key_is_marked_with_all_its_secrets(open_keys: OpenKeys) -> None:
    async with open_keys() as keys:
        tokens = [await keys.create("desk", Scope.TRADE), await keys.rotate("desk", keep=1_000)]
        await keys.revoke("desk")
        for token in tokens:
            assert (await secret_of(keys, token)).key.revoked_at is not None


async def test_the_last_use_is_noted_by_secret(open_keys: OpenKeys) -> None:
    async with open_keys() as keys:
        used, unused = await keys.create("used", Scope.TRADE), await keys.create("unused", Scope.TRADE)
        await keys.source.mark_used({used.id: 100.0})
        ago = await keys.last_use(used)
        assert ago is not None
        assert 100 <= ago < 200
        assert await keys.last_use(unused) is None


# Postgres only: what a fake has no part in


async def test_a_key_with_a_scope_of_a_newer_version_is_not_used_and_hides_no_other(database_address: Address) -> None:
    async with open_database(database_address) as database:
        await migrate(database)
        keys = InPostgres(database)
        newer, good = await keys.create("newer", Scope.TRADE), await keys.create("good", Scope.TRADE)
        async with database.connection() as connection:
            await connection.execute("UPDATE api_keys SET scopes = '{trade,fly}' WHERE name = 'newer'")
        assert [secret.id for secret in await keys.source.secrets()] == [good.id]
        assert keys.unreadable == ["newer"]
        assert newer.id != good.id


async def test_an_earlier_use_never_replaces_a_later_one_whichever_process_writes_last(
    database_address: Address,
) -> None:
    async with open_database(database_address) as database:
        await migrate(database)
        keys = InPostgres(database)
        tokens = [await keys.create(str(number), Scope.TRADE) for number in range(20)]
        ids = [token.id for token in tokens]
        ages = ({name: float(age) for name in order} for age, order in ((1, ids), (500, ids[::-1])) for _ in range(10))
        await asyncio.gather(*map(keys.source.mark_used, ages))
        for token in tokens:
            ago = await keys.last_use(token)
            assert ago is not None
            assert ago < 400


async def test_two_rotations_at_once_leave_one_secret_that_does_not_end(database_address: Address) -> None:
    async with open_database(database_address) as database:
        await migrate(database)
        keys = InPostgres(database)
        await keys.create("desk", Scope.TRADE)
        await asyncio.gather(*(keys.rotate("desk", keep=1_000) for _ in range(5)))
        [listed] = await list_keys(database)
        assert len(listed.secrets) == 6
        assert len([secret for secret in listed.secrets if secret.expires_at is None]) == 1


async def test_an_order_shows_its_group_as_its_client_has_named_it(database_address: Address) -> None:
    async with open_store(database_address) as store:
        order = replace(limit_order(), owner=1, oco_group=owned_name(1, "pair"))
        await store.create(order)
        shown = await store.order(order.id, 1)
        assert shown is not None
        assert shown["ocoGroup"] == "pair"
        [listed] = await store.orders(10, None, OrderFilter(owners=(1,)))
        assert listed["ocoGroup"] == "pair"
        assert "1/pair" not in str(shown)
