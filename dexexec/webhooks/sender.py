"""Sends one message to one target: resolves the name, checks every address, connects to a checked one, reads a little.

Nothing that a target does can cost more than the time limit and some kilobytes.
"""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore2

from dexexec import __version__
from dexexec.clock import Clock
from dexexec.domain.webhook import ClaimedDelivery
from dexexec.webhooks.addresses import is_public
from dexexec.webhooks.answers import Answer, Verdict, failed, read_answer
from dexexec.webhooks.kept_connections import Destination, KeptConnections, TargetConnection
from dexexec.webhooks.resolver import Resolver
from dexexec.webhooks.signing import signed_headers
from dexexec.webhooks.target_url import TargetUrl, check_url

EXCERPT_BYTES = 4_096
REST_SECONDS = 1.0
"""How long the rest of an answer may take, so that its connection is used again."""
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
        self._kept = KeptConnections(clock)

    async def send(self, claimed: ClaimedDelivery) -> Answer:
        """Try a delivery once. Never raises, except when it is cancelled."""
        try:
            # Again at each try: the setting may have changed since the webhook was made.
            target = check_url(claimed.url, private=self._private)
        except ValueError as error:
            return failed(f"its URL {error}")
        try:
            async with asyncio.timeout(self._seconds):
                exchange = await self._send(target, claimed)
        except TimeoutError:
            return failed(f"no answer within {self._seconds:g} s")
        except httpcore2.TimeoutException:
            return failed("no connection in time")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError, AttributeError) as error:
            # anyio raises AttributeError for a connection that is reset while it reads the new socket's address.
            return failed(f"no answer: {error}" if str(error) else f"no answer ({type(error).__name__})")
        if isinstance(exchange, Answer):
            return exchange
        await self._end(exchange)
        return exchange.answer

    async def close_old(self) -> None:
        """Close connections that were kept and not used lately."""
        await self._kept.close_old()

    async def aclose(self) -> None:
        """Close all connections that are kept."""
        await self._kept.aclose()

    async def _send(self, target: TargetUrl, claimed: ClaimedDelivery) -> "Answer | _Exchange":
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
        request = self._request(target, claimed)
        destination = Destination(webhook=claimed.webhook, origin=request.url.origin)
        kept = self._kept.take(destination, addresses)
        if kept is not None:
            try:
                return await self._exchange(kept, request, are_public)
            except (httpcore2.NetworkError, httpcore2.ProtocolError):
                # Its server may close a connection at any time, also while a request is on its way. If it has acted on
                # that, it gets the message twice, with one id.
                pass
        return await self._exchange(TargetConnection(destination, addresses, self._tls), request, are_public)

    def _request(self, target: TargetUrl, claimed: ClaimedDelivery) -> httpcore2.Request:
        body = claimed.payload.encode()
        headers = {
            "host": target.authority,
            "user-agent": f"dexexec/{__version__}",
            "content-type": "application/json",
            "accept": "*/*",
            "content-length": str(len(body)),
            **signed_headers(claimed.secrets, claimed.message_id, claimed.payload, unix_ms=self._clock.unix_ms()),
        }
        return httpcore2.Request(
            "POST",
            httpcore2.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
            ),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=body,
        )

    async def _exchange(
        self, connection: TargetConnection, request: httpcore2.Request, are_public: bool
    ) -> "_Exchange":
        try:
            response = await connection.exchange(request)
            status = response.status
            # The answer of a private target may hold what its operator shows to no client.
            wanted = are_public and not 200 <= status < 300
            excerpt = await _read_beginning(response) if wanted else b""
        except BaseException:
            await connection.aclose()
            raise
        retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
        now = datetime.fromtimestamp(self._clock.unix_ms() / 1000, UTC)
        return _Exchange(connection, response, read_answer(status, retry_after.decode("latin-1"), excerpt, now))

    async def _end(self, exchange: "_Exchange") -> None:
        """Keep the connection after a success whose answer is short, and close it otherwise."""
        is_kept = False
        try:
            if exchange.answer.verdict is Verdict.DELIVERED and await _is_short(exchange.response):
                is_kept = self._kept.keep(exchange.connection)
        finally:
            if not is_kept:
                await exchange.connection.aclose()


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request that was answered, over a connection that is still open."""

    connection: TargetConnection
    response: httpcore2.Response
    answer: Answer


async def _is_short(response: httpcore2.Response) -> bool:
    """Read the rest of an answer, and return whether that was soon done. What the answer is does not depend on it."""
    size = 0
    try:
        async with asyncio.timeout(REST_SECONDS):
            async for part in response.aiter_stream():
                size += len(part)
                if size > EXCERPT_BYTES:
                    return False
            await response.aclose()
    except (TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
        return False
    return True


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
