"""Connections to targets that stay open between two tries, for those that are sent much.

A connection belongs to one webhook, and is used again only while the lookup of that very try still has its address.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import httpcore2

from dexexec.clock import Clock
from dexexec.webhooks.addresses import Address
from dexexec.webhooks.pinned_backend import PinnedBackend

IDLE_SECONDS = 4.0
"""Many servers close a connection after five seconds, and a request that crosses that would be sent twice."""
MOST_IDLE = 128
"""As many as requests of a process may be in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What a connection is for. Two webhooks of one host share none: one could answer for the other."""

    webhook: UUID
    origin: httpcore2.Origin


class TargetConnection:
    """A connection to the first of `addresses` that accepts one, over TLS if the origin is https."""

    def __init__(self, destination: Destination, addresses: Sequence[Address], tls: ssl.SSLContext) -> None:
        self.destination = destination
        self.idle_since = 0.0
        self._backend = PinnedBackend(addresses)
        self._connection = httpcore2.AsyncHTTPConnection(
            destination.origin, ssl_context=tls, network_backend=self._backend
        )

    @property
    def address(self) -> Address | None:
        """Where it is connected to."""
        return self._backend.connected

    @property
    def can_be_kept(self) -> bool:
        """Whether its last answer was read to the end, and neither side has closed it."""
        return self._connection.is_idle() and not self._connection.has_expired()

    async def exchange(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send a request. Raises errors of httpcore."""
        self._backend.allowance.renew()
        return await self._connection.handle_async_request(request)

    async def aclose(self) -> None:
        """Close it."""
        await self._connection.aclose()


class KeptConnections:
    """The idle connections of a process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: list[TargetConnection] = []

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, destination: Destination, addresses: Sequence[Address]) -> TargetConnection | None:
        """A connection to one of `addresses`; None if there is none."""
        # The one that was used last: the others grow old, and are closed.
        for connection in reversed(self._idle):
            if connection.destination == destination and connection.address in addresses and self._is_fit(connection):
                self._idle.remove(connection)
                return connection
        return None

    def keep(self, connection: TargetConnection) -> bool:
        """Keep a connection; returns False if it must be closed instead."""
        if len(self._idle) >= MOST_IDLE or not connection.can_be_kept:
            return False
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)
        return True

    async def close_old(self) -> None:
        """Close those that were not used lately, or that their servers have closed."""
        old = [connection for connection in self._idle if not self._is_fit(connection)]
        for connection in old:
            self._idle.remove(connection)
        for connection in old:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close all."""
        while self._idle:
            await self._idle.pop().aclose()

    def _is_fit(self, connection: TargetConnection) -> bool:
        return connection.can_be_kept and self._clock.monotonic() < connection.idle_since + IDLE_SECONDS
