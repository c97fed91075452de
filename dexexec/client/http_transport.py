"""HTTP requests to the service, each with a time limit. Nothing is repeated or followed here: see `requests.py`."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from dexexec.client.errors import NoAnswerError, one_line
from dexexec.client.service_url import ApiKey, ServiceUrl

CONNECTIONS = 64
IDLE_CONNECTIONS = 16
IDLE_SECONDS = 30.0
"""Shorter than the service keeps an idle connection."""
CONNECT_SECONDS = 5.0
MOST_BYTES = 64 * 1024 * 1024
"""Of an answer. The longest is a page of orders with everything that belongs to them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpTransport:
    """Keeps connections to one service, for any number of tasks of one event loop."""

    def __init__(self, url: ServiceUrl, key: ApiKey | None, tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._key = key
        limits = httpx2.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
        )
        # The transport and not the library's client: that follows redirects and takes proxies from the environment,
        # and both would show the API key to another server.
        self._transport = httpx2.AsyncHTTPTransport(verify=tls or False, limits=limits, retries=0)

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request and read its answer. Raises `NoAnswerError`; the request may have had its effect then."""
        # The library's limits are for each wait; the one around them is for the whole request.
        phases = dict.fromkeys(("read", "write", "pool"), seconds) | {"connect": min(seconds, CONNECT_SECONDS)}
        request = httpx2.Request(
            method,
            self._url.http(path, query),
            headers={
                "Accept": "application/json, application/problem+json",
                "User-Agent": "dexexec-client",
                **(self._key.headers() if self._key else {}),
                **(headers or {}),
            },
            content=body,
            extensions={"timeout": phases},
        )
        why = ""
        sent = True
        try:
            async with asyncio.timeout(seconds):
                return await self._read(await self._transport.handle_async_request(request))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            # Nothing was sent, so the request had no effect for certain.
            why = f"cannot be connected to ({one_line(str(error)) or type(error).__name__})"
            sent = False
        except (TimeoutError, httpx2.TimeoutException):
            why = f"did not answer within {seconds:g} s"
        except (httpx2.TransportError, httpx2.StreamError, OSError, AttributeError) as error:
            # anyio raises the last two for a connection that is reset while it reads the new socket's address.
            why = f"broke the connection ({one_line(str(error)) or type(error).__name__})"
        # Raised outside of the except blocks: the original error holds the request, whose headers have the key.
        raise NoAnswerError(f"{self._url.base} {why}", uncertain=sent)

    async def _read(self, response: httpx2.Response) -> Answer:
        try:
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                # A server that is another one, or broken, must not fill the memory.
                if len(body) > MOST_BYTES:
                    raise NoAnswerError(f"{self._url.base} answered with more than {MOST_BYTES} bytes", uncertain=True)
        finally:
            # Gives the connection back, also of an answer that was not read to its end.
            await response.aclose()
        content = bytes(body)
        # An error has text of the answer, and a server may repeat what it was sent.
        if response.status_code >= 400 and self._key is not None:
            content = self._key.mask(content)
        return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, content)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()
