"""Bad networks between a process and its servers: a pair of proxies, and what may become of one."""

import asyncio
from asyncio import Event
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from itertools import count
from urllib.parse import urlsplit

from dexexec.store import Address
from tests.support.chaos.proxy import Proxy, Target, proxy

DELAY = 0.02
RESETS, RESET_PAUSE = 40, 0.05
"""How often connections are reset, and seconds in between."""


class Server(StrEnum):
    """What is cut off."""

    POSTGRES = "postgres"
    REDIS = "redis"


class Fault(StrEnum):
    """What the network does."""

    CUT = "cut"  # connections are reset, and new ones refused
    STALL = "stalled"  # nothing arrives, in either direction
    DEAF = "without answers"  # what the process says arrives; no answer does
    MUTE = "without requests"  # nothing it says arrives
    SLOW = "delayed"  # everything takes its time
    RESETS = "reset again and again"  # in the middle of whatever is going on


class Networks:
    """Ways to Postgres and to Redis, for processes started with `settings` on top of those of the servers."""

    def __init__(self, postgres: Proxy, redis: Proxy, redis_url: str) -> None:
        self._ways = {Server.POSTGRES: postgres, Server.REDIS: redis}
        self.settings = {
            "PG_HOST": "127.0.0.1",
            "PG_PORT": str(postgres.port),
            "REDIS_URL": by_way(redis_url, redis),
        }

    def __getitem__(self, server: Server) -> Proxy:
        return self._ways[server]

    def heal(self) -> None:
        """All work again."""
        for way in self._ways.values():
            way.heal()


@asynccontextmanager
async def networks(address: Address, redis_url: str) -> AsyncIterator[Networks]:
    """Healthy ones."""
    async with proxy(of_postgres(address)) as postgres, proxy(of_redis(redis_url)) as redis:
        yield Networks(postgres, redis, redis_url)


def of_postgres(address: Address) -> Target:
    """Where a Postgres listens."""
    return f"{address.host}/.s.PGSQL.{address.port}" if address.host.startswith("/") else (address.host, address.port)


def of_redis(url: str) -> Target:
    """Where a Redis listens."""
    parts = urlsplit(url)
    return (parts.hostname, parts.port or 6379) if parts.hostname else parts.path


def by_way(url: str, network: Proxy) -> str:
    """The address of a Redis behind a network."""
    parts = urlsplit(url)
    if not parts.hostname:
        return f"redis://127.0.0.1:{network.port}/0"
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{network.port}").geturl()


@asynccontextmanager
async def suffering(network: Proxy, fault: Fault) -> AsyncIterator[Event]:
    """The fault, until all is healed; the event is set once it has happened often enough."""
    happened = Event()

    async def resets() -> None:
        for number in count():
            await network.reset()
            await asyncio.sleep(RESET_PAUSE)
            if number == RESETS:
                happened.set()

    task: asyncio.Task[None] | None = None
    match fault:
        case Fault.CUT:
            await network.cut()
        case Fault.STALL:
            network.stall()
        case Fault.DEAF:
            network.stall(up=False)
        case Fault.MUTE:
            network.stall(down=False)
        case Fault.SLOW:
            network.delay(DELAY)
        case Fault.RESETS:
            task = asyncio.create_task(resets())
    try:
        yield happened
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
