"""Which Redis takes our writes: the one that REDIS_URL names, the node of a Cluster that owns our keys, or the primary
that Sentinels agree on.

Below the queue, the limiter and the feed, which know nothing of this. All our keys carry one hash tag, so in a Cluster
they are in one slot, on one node; and a message published on any node reaches subscribers on all. So a Cluster and
Sentinels come to the same: a connection asks where to go each time it is made. A node that is not the right one any
more says so (MOVED, READONLY); then the connection is broken, and the retry of redis-py makes one to the right place.
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
"""How long a node may take to say where to go; then the next one is asked."""
ELSEWHERE = (AskError, TryAgainError, ReadOnlyError, ClusterDownError)
"""What a node answers that does not take our writes, at least not now. MOVED is an AskError."""


class Locator:
    """Asks the nodes of an address, one after the other, where the server with the keys under the hash tag `tag` is.

    `kind` and `options` make connections as the data's are made. The node that answered last is asked first, unless
    what it said was wrong: one that is cut off from the others may not know better for long.
    """

    def __init__(
        self, address: RedisAddress, tag: str, kind: type[AbstractConnection], options: Mapping[str, Any]
    ) -> None:
        self._address, self._slot, self._connection = address, key_slot(f"{{{tag}}}".encode()), kind
        self._options = {name: value for name, value in options.items() if name not in {"host", "port", "db"}}
        self._options |= {"socket_timeout": ASK_SECONDS, "socket_connect_timeout": ASK_SECONDS}
        self._options |= {"retry": Retry(NoBackoff(), 0)}
        if address.kind is Kind.SENTINEL:
            self._options |= {"username": None, "password": None, **address.login}
        self._nodes = list(address.nodes)

    async def find(self) -> Place:
        """The host and port. Raises redis-py's `ConnectionError` when nobody knows."""
        why = "nobody knows it"
        for node in tuple(self._nodes):
            try:
                place, others = await self._ask(*node)
            except (RedisError, OSError) as error:
                why = str(error) or type(error).__name__
                continue
            if place is not None:
                self._nodes = list(dict.fromkeys([node, *others, *self._address.nodes]))
                return place
        raise RedisConnectionError(f"{self._address.place()} cannot be found: {why}")

    def try_next_node(self) -> None:
        """Ask somebody else first next time."""
        self._nodes.append(self._nodes.pop(0))

    async def _ask(self, host: str, port: int) -> tuple[Place | None, list[Place]]:
        """Where this node says it is, and which other nodes it knows of."""
        if self._address.kind is Kind.SENTINEL:
            answer = await self._command(host, port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
            return ((answer[0].decode(), int(answer[1])) if answer else None), []
        owner, others = None, []
        for first, last, *nodes in await self._command(host, port, "CLUSTER", "SLOTS"):
            # A node that does not know its own address leaves it empty: it is the one that was asked.
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
    """Connections of this kind that say `ConnectionError` for all that a new connection may mend: a server that takes
    no writes or has not our keys, and a broken transport. uvloop's answers a write after a reset with a RuntimeError,
    which redis-py passes on as it is."""

    class WithConnectionErrors(kind):  # type: ignore[valid-type, misc]
        async def send_packed_command(self, *args: object, **kwargs: object) -> None:
            try:
                await super().send_packed_command(*args, **kwargs)
            except RuntimeError as error:
                raise RedisConnectionError(f"the connection broke: {error}") from error

        async def read_response(self, *args: object, **kwargs: object) -> object:
            try:
                return await super().read_response(*args, **kwargs)
            except ELSEWHERE as error:
                await self.disconnect()
                raise RedisConnectionError(f"not the right server (any more): {error}") from error

    return WithConnectionErrors


def at_located_server(kind: type[AbstractConnection], locator: Locator) -> type[AbstractConnection]:
    """Connections of this kind that ask `locator` for their host and port."""

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
