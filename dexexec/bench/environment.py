"""Where a benchmark works: servers, and on them a database and a Redis prefix of its own for each part.

The servers are embedded ones in a temporary folder unless PG_HOST and REDIS_URL give others. Of given servers nothing
is touched but what was made here, and that is removed at the end.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import redis
from psycopg import sql
from psycopg.rows import TupleRow

from dexexec.bench.database_checks import Record
from dexexec.bench.processes import LoadClient, ProcessGroup, Service
from dexexec.bootstrap.backends import Servers, servers
from dexexec.bootstrap.connections import open_database, open_redis
from dexexec.config.postgres_url import DEFAULT_SCHEMA
from dexexec.config.redis_url import Kind, RedisAddress
from dexexec.config.settings import Settings
from dexexec.errors import StartupError
from dexexec.store import Address, connect

PLACES = ("PG_", "DATABASE_URL", "REDIS_URL", "SOLANA_", "PORT", "INPUT_MINT", "OUTPUT_MINT")
"""Variables of the environment that do not reach the measured processes: they get these from here, or not at all."""
FIXED = {
    "DEXEXEC_ADAPTERS": "mock-raydium,mock-meteora",
    "DEXEXEC_MOCK_SETTLEMENT": "simulated",
    "DEXEXEC_MOCK_LATENCY_MS": "0",
    "DEXEXEC_MOCK_LANDING_MS": "0",
    "DEXEXEC_MOCK_FAILURE_RATE": "0",
    "DEXEXEC_MOCK_DROP_RATE": "0",
    "DEXEXEC_ORDERS_PER_MINUTE": "",
    "DEXEXEC_CLIENT_ORDERS_PER_MINUTE": "",
    "DEXEXEC_HOST": "127.0.0.1",
    "PORT": "0",
}
"""What every measurement rests on: venues that take no time and never fail, and no limit on what clients may post."""
DEFAULTS = {"DEXEXEC_LOG_LEVEL": "warning", "DEXEXEC_LOG_FORMAT": "json"}


@dataclass(frozen=True, slots=True)
class BenchSandbox:
    """The servers of one part. `environment` starts a service on it."""

    processes: ProcessGroup
    load: LoadClient
    address: Address
    redis_url: str = field(repr=False)
    prefix: str
    environment: Mapping[str, str] = field(repr=False)
    record: Record

    def service(self, *roles: str, **settings: str) -> Service:
        """Start the service in as many processes, and wait until it is ready."""
        return Service(self.processes, list(roles or ("all",)), {**self.environment, **settings}).ready()


class BenchServers:
    """Servers and a folder. `sandbox` gives each part its own piece of them."""

    def __init__(
        self,
        found: Servers,
        folder: Path,
        environ: Mapping[str, str],
        processes: ProcessGroup,
        tell: Callable[[str], None],
    ) -> None:
        self.servers, self.processes, self.tell = found, processes, tell
        kept = {name: value for name, value in environ.items() if not name.startswith(PLACES)}
        self.environment = {**DEFAULTS, **kept, **FIXED, "DEXEXEC_DATA_DIR": str(folder / "none")}
        self.load = LoadClient(processes, self.environment)

    @contextmanager
    def sandbox(self) -> Iterator[BenchSandbox]:
        """A new database and prefix, gone at the end."""
        name = f"dexexec_bench_{secrets.token_hex(6)}"
        maintenance, address = self.servers.postgres, replace(self.servers.postgres, database=name)
        with _connect(maintenance) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with _connect(address) as connection:
                yield BenchSandbox(
                    self.processes, self.load, address, self.servers.redis_url, name,
                    self.environment | self._where(address, name), Record(connection),
                )  # fmt: skip
        finally:
            self._forget(name)
            with _connect(maintenance) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def versions(self) -> dict[str, str]:
        """What the servers are."""
        with _connect(self.servers.postgres) as connection:
            postgres = connection.execute("SHOW server_version").fetchone()
        with redis.Redis.from_url(self.servers.redis_url) as client:
            info = client.info("server")
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info["redis_version"]
        return {"postgres": str(postgres[0]) if postgres else "", "redis": f"{name} {version}"}

    def _where(self, address: Address, prefix: str) -> dict[str, str]:
        return {
            "PG_HOST": address.given(),
            "REDIS_URL": self.servers.redis_url,
            "DEXEXEC_REDIS_PREFIX": prefix,
        }

    def _forget(self, prefix: str) -> None:
        with redis.Redis.from_url(self.servers.redis_url) as client:
            keys = list(client.scan_iter(f"*{prefix}*", count=1000))
            if keys:
                client.delete(*keys)


async def _reach(found: Servers) -> None:
    """Raises `UnreachableError` unless both servers answer."""
    async with open_database(found), open_redis(found, "dexexec_bench"):
        pass


@contextmanager
def open_bench_servers(
    settings: Settings, environ: Mapping[str, str], asked: Callable[[], bool], tell: Callable[[str], None]
) -> Iterator[BenchServers]:
    """All that a benchmark stands on, gone at the end: children first, then servers, then the folder.

    Raises `StartupError`.
    """
    if settings.redis_url and RedisAddress.parse(settings.redis_url.get_secret_value()).kind is not Kind.SINGLE:
        raise StartupError("a benchmark needs one Redis: let REDIS_URL name that, or unset it for an embedded one")
    folder = Path(tempfile.mkdtemp(prefix="dxb"))
    try:
        own = settings.model_copy(update={"data_dir": folder / "d", "pg_schema": DEFAULT_SCHEMA})
        with servers(own, tell) as found:
            asyncio.run(_reach(found))
            processes = ProcessGroup(folder, asked)
            try:
                yield BenchServers(found, folder, environ, processes, tell)
            finally:
                processes.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_client(environ: Mapping[str, str], asked: Callable[[], bool]) -> Iterator[tuple[ProcessGroup, LoadClient]]:
    """Only a load client, for a server that somebody else has started."""
    with tempfile.TemporaryDirectory(prefix="dxb") as folder:
        processes = ProcessGroup(Path(folder), asked)
        try:
            yield processes, LoadClient(processes, environ)
        finally:
            processes.close()


def _connect(address: Address) -> psycopg.Connection[TupleRow]:
    """A session as the service has it, but for its limit on how long a statement may take."""
    connection = connect(address)
    connection.execute("SET statement_timeout = 0")
    return connection


def plain_environment() -> dict[str, str]:
    """The environment for processes that read none of our settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DEXEXEC_", *PLACES))}
