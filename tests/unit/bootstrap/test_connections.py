"""The first connection: a name that does not resolve is not repeated, since it may be a misplaced secret."""

import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from dexexec.bootstrap.connections import open_database, open_redis
from dexexec.bootstrap.servers import Servers
from dexexec.errors import UnreachableError
from dexexec.store import Address

SERVERS = Servers(Address(host="hunter2.example"), "redis://hunter2.example/0", ())


@pytest.fixture(autouse=True)
def _no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.mark.parametrize(
    ("opened", "variable"),
    [(open_database(SERVERS), "DATABASE_URL"), (open_redis(SERVERS, "p"), "REDIS_URL")],
    ids=["Postgres", "Redis"],
)
async def test_promise_14_a_host_that_is_not_known_is_not_repeated(
    opened: AbstractAsyncContextManager[Any], variable: str
) -> None:
    with pytest.raises(UnreachableError, match=variable) as caught:
        async with opened:
            pass
    assert "has no such host" in str(caught.value)
    assert "hunter2" not in str(caught.value)
