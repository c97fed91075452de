"""Turns a failed first connection to Postgres or Redis into one line that names the cause and the remedy.

The error is `UnreachableError` if waiting may help, else `UnusableError`.
"""

import asyncio
import os
import re
import socket
from collections.abc import Mapping

from psycopg import pq
from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, NoPermissionError, ResponseError

from dexexec.broker.permissions import refused
from dexexec.config.postgres_url import Address
from dexexec.config.redis_url import SHAPES, Kind, RedisAddress
from dexexec.errors import StartupError, UnreachableError, UnusableError
from dexexec.store import UnfitSessionError, UnwritableError

UNKNOWN_HOST = "{0} has no such host: check {1} (it is not repeated, since a secret may be in its place)"
LONGEST = 300
"""Characters of a server's own message that are quoted."""

# Messages of Postgres and PgBouncer about temporary states: starting, stopping, failing over, out of connections.

_PASSING = re.compile(
    r"the database system is|too many (clients|connections)|remaining connection slots|no more connections allowed"
    r"|server login has been failing|query_wait_timeout|session is not read-write|server is in hot standby mode"
    r"|server is read.only|server is not in hot standby",
)
_REFUSING = ("BUSY ", "CLUSTERDOWN", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM ", "READONLY", "TRYAGAIN")
"""Prefixes of Redis' errors about temporary states."""
_WRONG_NODE = re.compile("unknown command|cluster support disabled|NOAUTH|[Aa]uthentication|NOPERM|permission|username")
_OF_KIND = {Kind.CLUSTER: "a Cluster", Kind.SENTINEL: "Sentinels with a primary of that name"}
_SILENT = re.compile(r"Connection refused|timeout expired|No such file|No route to host|is unreachable")
_TLS = re.compile(r"\bssl|\btls\b|certificate|sslmode", re.IGNORECASE)
_OUTER = re.compile(r"^.*?(?:(?:failed|bad): (?:FATAL: +)?|FATAL: +)(?!connection to server)", re.DOTALL)
# (pattern in Postgres' message, remedy); the first match counts.
_REMEDIES = (
    (r"database .* does not exist|no such database", "make it with CREATE DATABASE {database}, or correct PG_DATABASE"),
    (r"permission denied for database", "let its owner run GRANT CONNECT ON DATABASE {database} TO {user}"),
    (r"password|authentication|pg_hba|no such user|role .* (does not exist|is not)", "check PG_USER and PG_PASSWORD"),
    (r"startup parameter", "leave the parameter out of the URL, or let the pooler ignore it"),
)  # fmt: skip
_ANYTHING = "check PG_HOST, PG_PORT, PG_USER, PG_PASSWORD and PG_DATABASE, or DATABASE_URL"


async def postgres_failure(  # noqa: PLR0911 - one for each cause
    address: Address, cause: BaseException | None
) -> StartupError:
    """The error for a failed first connection to Postgres."""
    place = address.place()
    if isinstance(cause, UnwritableError):
        return UnreachableError(f"Postgres at {place} takes no writes: {cause}.")
    if isinstance(cause, UnfitSessionError):
        return UnusableError(f"Postgres at {place} cannot be used: {cause}.")
    text = str(cause) if cause else ""
    words = _OUTER.sub("", text.strip().partition("\n")[0])[:LONGEST].strip().rstrip(".")
    if "failed to resolve host" in text:  # psycopg quotes the host, which may be a misplaced password
        return UnreachableError(UNKNOWN_HOST.format("Postgres", "PG_HOST or DATABASE_URL"))
    if _PASSING.search(text):
        return UnreachableError(f"Postgres at {place} takes no connection for now ({words}): start again once it does.")
    if _TLS.search(words):
        return UnusableError(
            f"Postgres at {place} cannot be used: TLS fails ({words}). Check sslmode and sslrootcert of"
            " DATABASE_URL, or PGSSLMODE and PGSSLROOTCERT."
        )
    if isinstance(cause, OSError) or _SILENT.search(text) or await asyncio.to_thread(_ping, address) is not pq.Ping.OK:
        return UnreachableError(
            f"Postgres at {place} does not answer ({words or 'no answer in time'}): check PG_HOST and PG_PORT or"
            " DATABASE_URL, and that it runs; or unset them for an embedded one."
        )
    names = {"database": address.database, "user": address.user}
    remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text)), _ANYTHING)
    return UnusableError(f"Postgres at {place} refuses the connection ({words}): {remedy.format(**names)}.")


def _ping(address: Address) -> pq.Ping:
    """Whether a server answers. Unlike an error message, this depends on neither the role nor the server's language."""
    return pq.Ping(pq.PGconn.ping(address.conninfo().encode()))


def redis_failure(address: RedisAddress, error: Exception) -> StartupError:  # noqa: PLR0911 - one for each cause
    """The error for a failed first connection to Redis."""
    place = address.place()
    words = _first_line(error)
    if isinstance(error.__context__, socket.gaierror):
        return UnreachableError(UNKNOWN_HOST.format("Redis", "REDIS_URL"))
    if isinstance(error, NoPermissionError) or words.startswith("unknown command"):
        return refused(place, "a command", error)
    if isinstance(error, AuthenticationError):
        return UnusableError(f"Redis at {place} refuses the login ({words}): check user and password in REDIS_URL.")
    if isinstance(error, InvalidResponse):
        return UnusableError(f"The server at {place} is not a Redis: check host and port in REDIS_URL.")
    if address.kind is not Kind.SINGLE and " cannot be found: " in words:
        kind = UnusableError if _WRONG_NODE.search(words) else UnreachableError
        return kind(f"Redis: {words}. Check REDIS_URL, and that it names {_OF_KIND[address.kind]}.")
    if isinstance(error, BusyLoadingError) or words.startswith(_REFUSING):
        return UnreachableError(f"Redis at {place} takes no commands for now ({words}): start again once it does.")
    if isinstance(error, ResponseError):
        return UnusableError(f"Redis at {place} cannot be used ({words}): check REDIS_URL.")
    if "certificate" in words.lower() or "[ssl" in words.lower():
        return UnusableError(
            f"Redis at {place} cannot be used: TLS fails ({words}). Check whether REDIS_URL should begin"
            " with rediss:// or redis://, and its ssl_ options."
        )
    if "closed" in words or "reset" in words:
        return UnreachableError(
            f"The server at {place} closes the connection ({words}): check that REDIS_URL names a Redis, and begins"
            " with rediss:// if the server requires TLS."
        )
    tls = " with TLS" * address.tls
    return UnreachableError(
        f"Redis at {place} does not answer{tls} ({words}): check REDIS_URL, or unset it for an embedded one."
    )


def redis_url_problem(error: Exception) -> str:
    """The problem with a REDIS_URL that redis-py refuses, in terms of the URL instead of Python."""
    words = _first_line(error)
    if unexpected := re.search(r"unexpected keyword argument '(\w+)'", words):
        return f"REDIS_URL has an option that redis-py does not support: {unexpected[1]}."
    if "SSL Certificate Requirements" in words:
        return "REDIS_URL: ssl_cert_reqs must be none, optional or required, in small letters."
    if "in connection URL" in words:
        return f"REDIS_URL has an option with a value that cannot be used: {words}."
    return f"REDIS_URL cannot be used ({words}): it must look like {SHAPES}."


def check_certificate_files(options: Mapping[str, object]) -> None:
    """Raises `UnusableError` for an unreadable certificate file, which redis-py reports like a missing server."""
    for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"):
        path = options.get(name)
        if path is not None and not os.access(str(path), os.R_OK):
            raise UnusableError(f"REDIS_URL: the file of {name} cannot be read: {path}.")


def _first_line(error: Exception) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:LONGEST].strip().rstrip(".")


def lost_during_start(error: Exception) -> StartupError:
    """The error for a server that fails during the start, after a successful first connection."""
    cause = str(error.__cause__ or "").strip().partition("\n")[0][:LONGEST].rstrip(".")
    because = f" ({cause})" if cause else ""
    return UnreachableError(f"{error}{because}, during the start: start again once that is over.")
