"""Where Postgres and Redis are: those given by the environment, and embedded ones for the rest.

Outside of the event loop, since starting and stopping a server is a blocking affair and frames everything else.
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
    """Addresses of both, and the names of those that run embedded. The URL may hold a password: not in the repr."""

    postgres: Address
    redis_url: str = field(repr=False)
    embedded: tuple[str, ...]

    def places(self) -> dict[str, str]:
        """For people: where each is that is used, without user or password."""
        found = {"Postgres": self.postgres.place()}
        return found | ({"Redis": RedisAddress.parse(self.redis_url).place()} if self.redis_url else {})


@contextmanager
def open_servers(
    settings: Settings, tell: lifecycle.Tell, stopping: StopRequest | None = None, *, with_redis: bool = True
) -> Iterator[Servers]:
    """Both servers, as long as the block lasts; what was started is stopped again if nobody else uses it. The embedded
    ones start side by side, and one that dies is started again: `tell` is handed lines about that, in threads. Without
    `with_redis`, Redis is left alone and its URL is "". Once the process is asked to stop, none is waited for that is
    not up yet. Raises `EmbeddedError`."""

    def given_up() -> bool:
        return stopping is not None and stopping.requested

    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        postgres = threads.submit(_postgres, settings, stack, tell, given_up)
        redis_url = threads.submit(_redis, settings, stack, tell, given_up) if with_redis else None
        threads.shutdown()  # wait for both, so that the stack stops whichever did start if the other failed
        own = {"Postgres": settings.postgres_address() is None, "Redis": with_redis and settings.redis_url is None}
        started = tuple(name for name, ours in own.items() if ours)
        yield Servers(postgres.result(), redis_url.result() if redis_url else "", started)


def _postgres(settings: Settings, stack: ExitStack, tell: lifecycle.Tell, given_up: Callable[[], bool]) -> Address:
    if (given := settings.postgres_address()) is not None:
        return given
    local = stack.enter_context(lifecycle.postgres(settings.data_folder(), tell=tell, given_up=given_up))
    return Address(host=local.host, port=local.port, user=local.user, database=local.dbname, schema=settings.pg_schema)


def _redis(settings: Settings, stack: ExitStack, tell: lifecycle.Tell, given_up: Callable[[], bool]) -> str:
    if settings.redis_url is None:
        return stack.enter_context(lifecycle.valkey(settings.data_folder(), tell=tell, given_up=given_up))
    return settings.redis_url.get_secret_value()
