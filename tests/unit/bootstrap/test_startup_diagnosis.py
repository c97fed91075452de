"""Errors of a server at the first connection: `does not answer` is used only if nothing answered."""

import re
from pathlib import Path

import pytest
from psycopg import OperationalError, pq
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from dexexec.bootstrap import startup_diagnosis
from dexexec.bootstrap.startup_diagnosis import lost_during_start, postgres_failure, redis_failure, redis_url_problem
from dexexec.broker.permissions import PROBES
from dexexec.config.redis_url import RedisAddress
from dexexec.errors import StartupError, UnavailableError, UnreachableError, UnusableError
from dexexec.store import Address, UnfitSessionError, UnwritableError

ROOT = Path(__file__).parents[3]
AT = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
ADDRESS = Address(host="127.0.0.1", port=5432, user="me", database="dex")
REDIS = RedisAddress.parse("redis://:hunter2@cache:6379/0")
SENTINELS = RedisAddress.parse("redis+sentinel://a,b/main")
POSTGRES = [
    (f'{AT}FATAL:  password authentication failed for user "me"', pq.Ping.OK, UnusableError, "and PG_PASSWORD"),
    (f'{AT}FATAL:  database "dex" does not exist', pq.Ping.OK, UnusableError, "CREATE DATABASE dex"),
    (f'{AT}FATAL:  role "me" does not exist', pq.Ping.OK, UnusableError, "check PG_USER"),
    (f'{AT}FATAL:  role "me" is not permitted to log in', pq.Ping.OK, UnusableError, "check PG_USER"),
    (f'{AT}FATAL:  permission denied for database "dex"', pq.Ping.OK, UnusableError, "GRANT CONNECT ON DATABASE dex"),
    (f'{AT}FATAL:  no pg_hba.conf entry for host "127.0.0.1"', pq.Ping.OK, UnusableError, "check PG_USER"),
    (f"{AT}FATAL:  unsupported startup parameter: x", pq.Ping.OK, UnusableError, "leave the parameter out"),
    (f"{AT}FATAL:  Datenbank »dex« existiert nicht", pq.Ping.OK, UnusableError, "check PG_HOST"),
    (f"{AT}server does not support SSL, but SSL was required", pq.Ping.NO_RESPONSE, UnusableError, "PGSSLMODE"),
    (f"{AT}FATAL:  the database system is starting up", pq.Ping.REJECT, UnreachableError, "takes no connection"),
    (f"{AT}FATAL:  sorry, too many clients already", pq.Ping.OK, UnreachableError, "takes no connection"),
    (f"{AT}Connection refused", pq.Ping.OK, UnreachableError, "does not answer (Connection refused)"),
    (f"{AT}server closed the connection unexpectedly", pq.Ping.NO_RESPONSE, UnreachableError, "does not answer"),
    ("connection timeout expired", pq.Ping.OK, UnreachableError, "does not answer"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "ping", "kind", "expected"), POSTGRES, ids=[words for words, *_ in POSTGRES])
async def test_an_error_of_postgres_is_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, words: str, ping: pq.Ping, kind: type[StartupError], expected: str
) -> None:
    monkeypatch.setattr(startup_diagnosis, "_ping", lambda _: ping)
    failure = await postgres_failure(ADDRESS, OperationalError(words))
    assert type(failure) is kind
    assert expected in str(failure)
    assert ("does not answer" in str(failure)) == ("does not answer" in expected)
    assert "connection to server at" not in str(failure)


async def test_a_server_that_takes_no_writes_may_do_so_later_and_one_that_is_unfit_stays_so() -> None:
    assert type(await postgres_failure(ADDRESS, UnwritableError("it is a standby"))) is UnreachableError
    assert type(await postgres_failure(ADDRESS, UnfitSessionError("the pooler shares"))) is UnusableError
    assert type(await postgres_failure(ADDRESS, TimeoutError())) is UnreachableError


REDIS_WORDS: list[tuple[RedisError, type[StartupError], str]] = [
    (AuthenticationError("invalid username-password pair or user is disabled."), UnusableError, "refuses the login"),
    (NoPermissionError("User x has no permissions to run the 'info' command"), UnusableError, "docs/SCALING.md"),
    (ResponseError("unknown command 'INFO'"), UnusableError, "docs/SCALING.md"),
    (ResponseError("DB index is out of range"), UnusableError, "DB index is out of range"),
    (InvalidResponse("Protocol Error: H"), UnusableError, "is not a Redis"),
    (RedisConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), UnusableError, "TLS"),
    (RedisConnectionError("Connection closed by server."), UnreachableError, "closes the connection"),
    (BusyLoadingError("Redis is loading the dataset in memory"), UnreachableError, "takes no commands for now"),
    (ResponseError("MISCONF Redis is configured to save"), UnreachableError, "takes no commands for now"),
    (ResponseError("BUSY Redis is busy running a script"), UnreachableError, "takes no commands for now"),
    (RedisConnectionError("Error 111 connecting to cache:6379. Refused."), UnreachableError, "does not answer"),
    (RedisTimeoutError("Timeout connecting to server"), UnreachableError, "does not answer"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind", "expected"), REDIS_WORDS, ids=[str(error) for error, *_ in REDIS_WORDS])
def test_an_error_of_redis_is_reported_with_the_remedy(
    error: RedisError, kind: type[StartupError], expected: str
) -> None:
    failure = redis_failure(REDIS, error)
    assert type(failure) is kind
    assert expected in str(failure)
    assert ("does not answer" in str(failure)) == ("does not answer" in expected)
    assert "hunter2" not in str(failure)


@pytest.mark.parametrize(
    ("why", "kind"),
    [("unknown command 'SENTINEL'", UnusableError), ("NOAUTH Authentication required.", UnusableError),
     ("no node has its address", UnreachableError), ("Error 111 connecting to a:26379.", UnreachableError)],
)  # fmt: skip
def test_an_error_of_sentinels_is_no_error_of_the_server_that_they_name(why: str, kind: type[StartupError]) -> None:
    failure = redis_failure(SENTINELS, RedisConnectionError(f"{SENTINELS.place()} cannot be found: {why}"))
    assert type(failure) is kind
    assert f"cannot be found: {why.rstrip('.')}. Check REDIS_URL" in str(failure)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TypeError("AbstractConnection.__init__() got an unexpected keyword argument 'foo'"), "does not support: foo."),
        (RedisError("Invalid SSL Certificate Requirements Flag: None"), "ssl_cert_reqs must be none, optional"),
        (ValueError("Invalid value for 'socket_timeout' in connection URL."), "Invalid value for 'socket_timeout'"),
        (ValueError("something else"), "it must look like redis://"),
    ],
)  # fmt: skip
def test_options_of_the_url_that_redis_py_refuses_are_reported_as_in_the_url(error: Exception, expected: str) -> None:
    assert expected in redis_url_problem(error)


def test_what_is_refused_in_the_middle_of_the_start_is_a_sentence() -> None:
    error = UnavailableError("Redis refuses writes for now")
    error.__cause__ = ResponseError("MISCONF Redis is configured to save RDB snapshots.\nMore.")
    assert str(lost_during_start(error)) == (
        "Redis refuses writes for now (MISCONF Redis is configured to save RDB snapshots), during the start:"
        " start again once that is over."
    )


def test_every_command_of_our_scripts_is_tried_at_the_start_and_documented() -> None:
    """What an ACL lacks of them would else only show when the script comes to it."""
    source = "".join(path.read_text() for path in (ROOT / "dexexec").glob("**/*.py"))
    called = set(re.findall(r"redis\.p?call\('([A-Z]+)'", source))
    assert {"SADD", "ZADD"} <= called
    tried = {line.split()[0] for line in PROBES.splitlines() if line}
    assert called <= tried
    documented = (ROOT / "docs" / "SCALING.md").read_text()
    assert [name for name in tried if not re.search(rf"\+{name.lower()}[ |\n]", documented)] == []
