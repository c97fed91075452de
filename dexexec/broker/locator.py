"""Finds the Redis server that takes writes: the node of a Cluster that owns our keys, or the primary of Sentinels.

Used below the queue, the rate limiter and the feed. Each new connection looks up its server. When a server no longer
takes our writes, the connection fails, and the retry of redis-py opens one to the right server.
"""

from collections.abc import Mapping
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from dexexec.config.redis_url import Kind, Place, RedisAddress

ASK_SECONDS = 1.0
"""How long a node may take to answer a lookup; then the next node is used."""
WRONG_SERVER = (AskError, TryAgainError, ReadOnlyError, ClusterDownError)
"""Errors of a server that does not take our writes, at least not now. A MOVED answer is an AskError too."""


class Locator:
    """Looks up, at the nodes of an address, which server holds the keys with the hash tag `tag`.

    `kind` and `options` are the class and the options of the data connections; lookups use the same.
    """

    def __init__(
        self, address: RedisAddress, tag: str, kind: type[AbstractConnection], options: Mapping[str, Any]
    ) -> None:
        self._address = address
        # All our keys carry one hash tag: in a Cluster they are in one slot, so on one node. Messages that are
        # published on any node reach the subscribers on all nodes. So a Cluster can be used like a single server.
        self._slot = key_slot(f"{{{tag}}}".encode())
        self._connection = kind
        self._options = {name: value for name, value in options.items() if name not in {"host", "port", "db"}}
        self._options |= {"socket_timeout": ASK_SECONDS, "socket_connect_timeout": ASK_SECONDS}
        self._options |= {"retry": Retry(NoBackoff(), 0)}
        if address.kind is Kind.SENTINEL:
            self._options |= {"username": None, "password": None, **address.login}
        self._nodes = list(address.nodes)

    async def find(self) -> Place:
        """Return the host and port of the server. Raises redis-py's `ConnectionError` when no node answers."""
        why = "no node has its address"
        for node in tuple(self._nodes):
            try:
                place, others = await self._look_up(*node)
            except (RedisError, OSError) as error:
                why = str(error) or type(error).__name__
                continue
            if place is not None:
                # This node comes first next time. The nodes of the URL stay at the end, in case all others are gone.
                self._nodes = list(dict.fromkeys([node, *others, *self._address.nodes]))
                return place
        raise RedisConnectionError(f"{self._address.place()} cannot be found: {why}")

    def try_next_node(self) -> None:
        """Start the next lookup at another node."""
        # A node that is cut off from the others can name the wrong server for a long time.
        self._nodes.append(self._nodes.pop(0))

    async def _look_up(self, host: str, port: int) -> tuple[Place | None, list[Place]]:
        """Return the server that this node names, and the other nodes that it lists."""
        if self._address.kind is Kind.SENTINEL:
            answer = await self._command(host, port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
            return ((answer[0].decode(), int(answer[1])) if answer else None), []
        owner: Place | None = None
        others: list[Place] = []
        for first, last, *nodes in await self._command(host, port, "CLUSTER", "SLOTS"):
            # A node that has not learned its own address leaves it empty: it is the one that answers here.
            places = [(name.decode() if name else host, int(number)) for name, number, *_ in nodes]
            others += places
            if first <= self._slot <= last:
                owner = places[0]
        return owner, others

    async def _command(self, host: str, port: int, *words: str) -> Any:
        connection = self._connection(**(self._options | {"host": host, "port": port}))
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command(*words)
            return await connection.read_response()
        finally:
            await connection.disconnect()


def with_connection_errors(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """A subclass of `kind` that raises `ConnectionError` for everything that a new connection may solve: a server that
    takes no writes or does not hold our keys, and a broken transport."""

    class WithConnectionErrors(kind):  # type: ignore[valid-type, misc]
        async def send_packed_command(self, *args: object, **kwargs: object) -> None:
            try:
                await super().send_packed_command(*args, **kwargs)
            except RuntimeError as error:
                # uvloop raises it for a write after a reset, and redis-py passes it on.
                raise RedisConnectionError(f"the connection broke: {error}") from error

        async def read_response(self, *args: object, **kwargs: object) -> object:
            try:
                return await super().read_response(*args, **kwargs)
            except WRONG_SERVER as error:
                # Without this the pool would hand out the same connection again.
                await self.disconnect()
                raise RedisConnectionError(f"this server does not take writes for our keys: {error}") from error

    return WithConnectionErrors


def at_located_server(kind: type[AbstractConnection], locator: Locator) -> type[AbstractConnection]:
    """A subclass of `kind` that connects to the server that `locator` finds."""

    class AtLocatedServer(kind):  # type: ignore[valid-type, misc]
        async def connect_check_health(self, *args: object, **kwargs: object) -> None:
            if self.is_connected:
                return
            self.host, self.port = await locator.find()
            try:
                await super().connect_check_health(*args, **kwargs)
            except RedisError:
                locator.try_next_node()
                raise

        async def read_response(self, *args: object, **kwargs: object) -> object:
            try:
                return await super().read_response(*args, **kwargs)
            except RedisConnectionError:
                locator.try_next_node()
                raise

    return AtLocatedServer
