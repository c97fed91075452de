"""Sends one message to one target: resolves the name, checks every address, connects to a checked one, reads a little.

Nothing that a target does can cost more than the time limit and some kilobytes.
"""

import asyncio
import ssl
from datetime import UTC, datetime

import httpcore2

from dexexec import __version__
from dexexec.clock import Clock
from dexexec.domain.webhook import ClaimedDelivery
from dexexec.webhooks.addresses import is_public
from dexexec.webhooks.answers import Answer, failed, read_answer
from dexexec.webhooks.pinned_backend import PinnedBackend
from dexexec.webhooks.resolver import Resolver
from dexexec.webhooks.signing import signed_headers
from dexexec.webhooks.target_url import TargetUrl, check_url

EXCERPT_BYTES = 4_096
NOT_PUBLIC = "its name resolves to a private or local address"


class Sender:
    """Sends messages. `seconds` is the limit for a whole try; `private` allows private addresses and http."""

    def __init__(
        self, resolver: Resolver, clock: Clock, *, seconds: float, private: bool, tls: ssl.SSLContext | None = None
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._seconds = seconds
        self._private = private
        # Made once: to read the certificates of all authorities takes tens of milliseconds.
        self._tls = tls or ssl.create_default_context()

    async def send(self, claimed: ClaimedDelivery) -> Answer:
        """Try a delivery once. Never raises, except when it is cancelled."""
        try:
            # Again at each try: the setting may have changed since the webhook was made.
            target = check_url(claimed.url, private=self._private)
        except ValueError as error:
            return failed(f"its URL {error}")
        try:
            async with asyncio.timeout(self._seconds):
                return await self._send(target, claimed)
        except TimeoutError:
            return failed(f"no answer within {self._seconds:g} s")
        except httpcore2.TimeoutException:
            return failed("no connection in time")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError, AttributeError) as error:
            # anyio raises AttributeError for a connection that is reset while it reads the new socket's address.
            return failed(f"no answer: {error}" if str(error) else f"no answer ({type(error).__name__})")

    async def _send(self, target: TargetUrl, claimed: ClaimedDelivery) -> Answer:
        try:
            addresses = await self._resolver.addresses(target.host)
        except OSError as error:
            return failed(f"its name cannot be resolved: {error}")
        if not addresses:
            return failed("its name has no address")
        # All of them: whoever answers for a name could otherwise hide a private address behind a public one.
        are_public = all(is_public(address) for address in addresses)
        if not are_public and not self._private:
            return failed(NOT_PUBLIC)
        body = claimed.payload.encode()
        now_ms = self._clock.unix_ms()
        headers = {
            "host": target.authority,
            "user-agent": f"dexexec/{__version__}",
            "content-type": "application/json",
            "accept": "*/*",
            "content-length": str(len(body)),
            "connection": "close",
            **signed_headers(claimed.secrets, claimed.message_id, claimed.payload, unix_ms=now_ms),
        }
        request = httpcore2.Request(
            "POST",
            httpcore2.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
            ),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=body,
        )
        # A connection for each try: it goes to an address that was checked for this very try.
        connection = httpcore2.AsyncHTTPConnection(
            request.url.origin, ssl_context=self._tls, network_backend=PinnedBackend(addresses)
        )
        try:
            response = await connection.handle_async_request(request)
            status = response.status
            # The answer of a private target may hold what its operator shows to no client.
            wanted = are_public and not 200 <= status < 300
            excerpt = await _read_beginning(response) if wanted else b""
        finally:
            await connection.aclose()
        retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
        return read_answer(status, retry_after.decode("latin-1"), excerpt, datetime.fromtimestamp(now_ms / 1000, UTC))


async def _read_beginning(response: httpcore2.Response) -> bytes:
    body = bytearray()
    try:
        async for part in response.aiter_stream():
            body += part
            if len(body) >= EXCERPT_BYTES:
                break
    except (httpcore2.NetworkError, httpcore2.ProtocolError):
        pass  # the status is what counts
    return bytes(body[:EXCERPT_BYTES])
