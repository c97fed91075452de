"""The WebSocket of a node: where it is, and what is said over it (JSON-RPC with `signatureSubscribe`).

Its address is the node's own with another scheme. A validator serves its WebSocket one port above, so an address with
a port and without TLS stands for both. As for HTTP, the address holds keys and is never shown.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx2
from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from dexexec.concurrency.cancellation import ignore_exception
from dexexec.settlement.solana.rpc.decode_values import DECODE_ERRORS, read_u64

MAX_MESSAGE = 1024 * 1024
"""Bytes."""
PING_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class SubscriptionReply:
    """The request `request` is subscription `number`; None if it was refused."""

    request: int
    number: int | None


@dataclass(frozen=True, slots=True)
class Notification:
    """Something happened to what subscription `number` is about. What, is not read: it would be no proof."""

    number: int


def subscribe(request: int, signature: str) -> str:
    """The message that asks to hear of a signature once it is confirmed."""
    return _call(request, "signatureSubscribe", [signature, {"commitment": "confirmed"}])


def unsubscribe(request: int, number: int) -> str:
    """The message that gives a subscription up."""
    return _call(request, "signatureUnsubscribe", [number])


def read_message(message: str | bytes) -> SubscriptionReply | Notification | None:
    """What a node says; None for what nobody waits for."""
    try:
        match json.loads(message):
            case {"method": "signatureNotification", "params": {"subscription": number}}:
                return Notification(read_u64(number))
            case {"id": request, "result": bool()}:  # of an unsubscription
                return None
            case {"id": request, "result": number}:
                return SubscriptionReply(read_u64(request), read_u64(number))
            case {"id": request, "error": _}:
                return SubscriptionReply(read_u64(request), None)
    except (*DECODE_ERRORS, RecursionError):
        pass
    return None


def websocket_urls(target: httpx2.URL) -> list[httpx2.URL]:
    """Where the WebSocket of the node at `target` may be, the likeliest first."""
    if target.scheme == "https":
        return [target.copy_with(scheme="wss")]
    here = target.copy_with(scheme="ws")
    if target.port is None or target.port >= 65535:
        return [here]
    return [here, here.copy_with(port=target.port + 1)]


class RpcWebSocket:
    """An open connection."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, address: httpx2.URL, headers: dict[str, str], seconds: float) -> "RpcWebSocket":
        """Raises `OSError`, `TimeoutError` or one of tornado's own errors: whatever it is, there is no connection."""
        given = HTTPHeaders({name: value for name, value in headers.items() if name == "Authorization"})
        request = HTTPRequest(str(address), headers=given, connect_timeout=seconds, follow_redirects=False)
        opening = asyncio.ensure_future(
            websocket_connect(
                request, ping_interval=PING_SECONDS, ping_timeout=PING_SECONDS, max_message_size=MAX_MESSAGE
            )
        )
        try:
            async with asyncio.timeout(seconds):
                return cls(await asyncio.shield(opening))
        except (TimeoutError, asyncio.CancelledError):
            opening.add_done_callback(_close)  # it cannot be stopped, so it may still come to be
            raise

    def say(self, message: str) -> None:
        """Send it; if the connection is gone, whoever listens will hear that."""
        try:
            written: Any = self._connection.write_message(message)
        except (WebSocketClosedError, StreamClosedError):
            return
        written.add_done_callback(ignore_exception)

    async def hear(self) -> str | bytes | None:
        """The next message; None when the connection is gone."""
        return await self._connection.read_message()

    def close(self) -> None:
        """Say goodbye."""
        self._connection.close()


def _call(request: int, method: str, params: list[object]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request, "method": method, "params": params})


def _close(opening: "asyncio.Future[WebSocketClientConnection]") -> None:
    """Nobody waits for this connection any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
