"""Provides Postgres and Redis: the servers that the environment names, and embedded ones for the rest.

It runs outside of the event loop, since starting and stopping a server blocks.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from dexexec.bootstrap.shutdown import StopRequest
from dexexec.config.redis_url import RedisAddress
from dexexec.config.settings import Settings
from dexexec.embedded import lifecycle
from dexexec.store import Address


@dataclass(frozen=True, slots=True)
class Servers:
    """The addresses of both servers, and the names of those that run embedded."""

    postgres: Address
    redis_url: str = field(repr=False)
    embedded: tuple[str, ...]

    def places(self) -> dict[str, str]:
        """The address of each server in use, for people: without user and password."""
        places = {"Postgres": self.postgres.place()}
        return places | ({"Redis": RedisAddress.parse(self.redis_url).place()} if self.redis_url else {})


@contextmanager
def open_servers(
    settings: Settings, report: lifecycle.Report, stopping: StopRequest | None = None, *, with_redis: bool = True
) -> Iterator[Servers]:
    """Run both servers for the block. Embedded servers start in parallel, are restarted when they die, and are stopped
    at the end unless another process uses them. `report` gets lines about that, on threads. Without `with_redis`, no
    Redis is started and its URL is "". A stop request ends the wait for a start. Raises `EmbeddedError`."""

    def stop_requested() -> bool:
        return stopping is not None and stopping.requested

    # In parallel: each start takes seconds, most of them waiting for the server.
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        postgres = threads.submit(_postgres, settings, stack, report, stop_requested)
        redis_url = threads.submit(_redis, settings, stack, report, stop_requested) if with_redis else None
        threads.shutdown()  # wait for both: if one start fails, the stack must stop the server that did start
        is_embedded = {
            "Postgres": settings.postgres_address() is None,
            "Redis": with_redis and settings.redis_url is None,
        }
        embedded = tuple(name for name, yes in is_embedded.items() if yes)
        yield Servers(postgres.result(), redis_url.result() if redis_url else "", embedded)


def _postgres(
    settings: Settings, stack: ExitStack, report: lifecycle.Report, stop_requested: Callable[[], bool]
) -> Address:
    if (given := settings.postgres_address()) is not None:
        return given
    local = stack.enter_context(
        lifecycle.postgres(settings.data_folder(), report=report, stop_requested=stop_requested)
    )
    return Address(host=local.host, port=local.port, user=local.user, database=local.dbname, schema=settings.pg_schema)


def _redis(settings: Settings, stack: ExitStack, report: lifecycle.Report, stop_requested: Callable[[], bool]) -> str:
    if settings.redis_url is None:
        return stack.enter_context(
            lifecycle.valkey(settings.data_folder(), report=report, stop_requested=stop_requested)
        )
    return settings.redis_url.get_secret_value()
