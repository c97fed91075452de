"""Connections to addresses that were checked, however their name resolves later, with a limit for reads."""

import ssl
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore2

from dexexec.webhooks.addresses import Address

CONNECT_SECONDS = 3.0
"""For each of the addresses."""
MOST_ADDRESSES = 3
MOST_BYTES = 65_536
"""Of an answer, headers included."""


class PinnedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to the first of `addresses` that accepts. The name in the URL is only for TLS and the header `Host`."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses[:MOST_ADDRESSES]
        self.connected: Address | None = None
        self.allowance = Allowance()
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises `httpcore2.ConnectError` and `ConnectTimeout`."""
        error: Exception = httpcore2.ConnectError("the name has no address")
        for address in self._addresses:
            try:
                # An address is not looked up again.
                stream = await self._network.connect_tcp(str(address), port, timeout=CONNECT_SECONDS)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failure:
                error = failure
            else:
                self.connected = address
                return LimitedStream(stream, self.allowance)
        raise error


class Allowance:
    """How many bytes may still be read: `MOST_BYTES` for each answer."""

    def __init__(self) -> None:
        self.left = MOST_BYTES

    def renew(self) -> None:
        """Another request is sent."""
        self.left = MOST_BYTES


class LimitedStream(httpcore2.AsyncNetworkStream):
    """A stream of which no more than the allowance is read: of endless headers as well as of a long body."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, allowance: Allowance) -> None:
        self._stream = stream
        self._allowance = allowance

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Raises `httpcore2.ReadError` once too much was read."""
        if self._allowance.left <= 0:
            raise httpcore2.ReadError("its answer is too long")
        data = await self._stream.read(min(max_bytes, self._allowance.left), timeout)
        self._allowance.left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the stream below."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """As the stream below."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """As the stream below; what is read of the answer is limited, and the handshake by TLS itself."""
        return LimitedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._allowance)

    def get_extra_info(self, info: str) -> Any:
        """As the stream below."""
        return self._stream.get_extra_info(info)
