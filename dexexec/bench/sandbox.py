"""Where a benchmark runs: its servers, and on them a new database and Redis prefix for each part.

The servers are embedded ones in a temporary folder, unless PG_HOST and REDIS_URL name others. On those, only what the
benchmark created is changed, and it is removed at the end.
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

from dexexec.bench.database import BenchDatabase
from dexexec.bench.processes import LoadClient, ProcessGroup, Service
from dexexec.bootstrap.connections import open_database, open_redis
from dexexec.bootstrap.servers import Servers, open_servers
from dexexec.config.postgres_url import DEFAULT_SCHEMA
from dexexec.config.redis_url import Kind, RedisAddress
from dexexec.config.settings import Settings
from dexexec.errors import StartupError
from dexexec.store import Address, connect

WITHHELD_VARIABLES = ("PG_", "DATABASE_URL", "REDIS_URL", "SOLANA_", "PORT", "INPUT_MINT", "OUTPUT_MINT")
"""Variables of the environment that are not passed to the measured processes."""
FIXED_SETTINGS = {
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
"""Settings of every measured service: venues that take no time and never fail, and no rate limits."""
DEFAULT_SETTINGS = {"DEXEXEC_LOG_LEVEL": "warning", "DEXEXEC_LOG_FORMAT": "json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSandbox:
    """The database, Redis prefix and processes of one part. `environment` starts a service on them."""

    processes: ProcessGroup
    load: LoadClient
    address: Address
    redis_url: str = field(repr=False)
    prefix: str
    environment: Mapping[str, str] = field(repr=False)
    database: BenchDatabase

    def service(self, *roles: str, **settings: str) -> Service:
        """Start the service with one process per role, and wait until it is ready."""
        return Service(self.processes, list(roles or ("all",)), {**self.environment, **settings}).ready()


class BenchServers:
    """Postgres and Redis of a benchmark. `sandbox` gives each part its own database on them."""

    def __init__(
        self,
        *,
        running: Servers,
        folder: Path,
        settings: Settings,
        environ: Mapping[str, str],
        processes: ProcessGroup,
        say: Callable[[str], None],
    ) -> None:
        self.running = running
        self.folder = folder
        self.settings = settings
        self.processes = processes
        self.say = say
        passed = {name: value for name, value in environ.items() if not name.startswith(WITHHELD_VARIABLES)}
        self.environment = {**DEFAULT_SETTINGS, **passed, **FIXED_SETTINGS, "DEXEXEC_DATA_DIR": str(folder / "none")}
        # One load client for all parts: starting an interpreter would disturb the first seconds of each.
        self.load = LoadClient(processes, self.environment)

    @contextmanager
    def sandbox(self) -> Iterator[BenchSandbox]:
        """Create a database and a prefix, and remove them at the end."""
        name = f"dexexec_bench_{secrets.token_hex(6)}"
        maintenance = self.running.postgres
        address = replace(maintenance, database=name)
        with _connect(maintenance) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with _connect(address) as connection:
                yield BenchSandbox(
                    processes=self.processes,
                    load=self.load,
                    address=address,
                    redis_url=self.running.redis_url,
                    prefix=name,
                    environment=self.environment | self._addresses(address, name),
                    database=BenchDatabase(connection),
                )
        finally:
            self._delete_keys(name)
            # FORCE, because a service that was killed may still have sessions open.
            with _connect(maintenance) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def versions(self) -> dict[str, str]:
        """The versions of both servers."""
        with _connect(self.running.postgres) as connection:
            postgres = connection.execute("SHOW server_version").fetchone()
        with redis.Redis.from_url(self.running.redis_url) as client:
            info = client.info("server")
        # Valkey also reports `redis_version`: the version of Redis that it is compatible with.
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info["redis_version"]
        return {"postgres": str(postgres[0]) if postgres else "", "redis": f"{name} {version}"}

    def _addresses(self, address: Address, prefix: str) -> dict[str, str]:
        return {
            "PG_HOST": address.pg_host_value(),
            "REDIS_URL": self.running.redis_url,
            "DEXEXEC_REDIS_PREFIX": prefix,
        }

    def _delete_keys(self, prefix: str) -> None:
        with redis.Redis.from_url(self.running.redis_url) as client:
            keys = list(client.scan_iter(f"*{prefix}*", count=1000))
            if keys:
                client.delete(*keys)


async def _check_reachable(running: Servers) -> None:
    """Raises `UnreachableError` unless both servers answer."""
    async with open_database(running), open_redis(running, "dexexec_bench"):
        pass


@contextmanager
def open_bench_servers(
    settings: Settings, environ: Mapping[str, str], stop_requested: Callable[[], bool], say: Callable[[str], None]
) -> Iterator[BenchServers]:
    """Start or reach the servers. At the end, stop the children first, then the servers, then delete the folder.

    Raises `StartupError`.
    """
    if settings.redis_url and RedisAddress.parse(settings.redis_url.get_secret_value()).kind is not Kind.SINGLE:
        raise StartupError("a benchmark needs one Redis: let REDIS_URL name that, or unset it for an embedded one")
    # A short name: the path of a Unix socket in it may have at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="dxb"))
    try:
        # Not the user's data folder or schema: a benchmark must never touch the orders of a real service.
        own = settings.model_copy(update={"data_dir": folder / "d", "pg_schema": DEFAULT_SCHEMA})
        with open_servers(own, say) as running:
            asyncio.run(_check_reachable(running))
            processes = ProcessGroup(folder, stop_requested)
            try:
                yield BenchServers(
                    running=running, folder=folder, settings=settings, environ=environ, processes=processes, say=say
                )
            finally:
                processes.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_load_client(
    environ: Mapping[str, str], stop_requested: Callable[[], bool]
) -> Iterator[tuple[ProcessGroup, LoadClient]]:
    """A load client without servers, to measure a server that runs already."""
    with tempfile.TemporaryDirectory(prefix="dxb") as folder:
        processes = ProcessGroup(Path(folder), stop_requested)
        try:
            yield processes, LoadClient(processes, environ)
        finally:
            processes.close()


def _connect(address: Address) -> psycopg.Connection[TupleRow]:
    """A session like the service's, without its limit on how long a statement may take."""
    connection = connect(address)
    connection.execute("SET statement_timeout = 0")
    return connection


def plain_environment() -> dict[str, str]:
    """The environment without the service's settings, for processes that read none of them."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DEXEXEC_", *WITHHELD_VARIABLES))}
