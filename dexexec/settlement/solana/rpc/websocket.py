"""The WebSocket of a node: its addresses, its messages (subscriptions over JSON-RPC), and an open connection.

The address is that of the node with another scheme. It may hold keys and is never shown.
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
from dexexec.domain.solana import AccountFilters
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS, read_address, read_u64
from dexexec.settlement.solana.rpc.methods import program_search

MAX_MESSAGE_BYTES = 1024 * 1024
PING_SECONDS = 20.0
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class SubscriptionReply:
    """The reply to the request `request`: its subscription number, None if the node refused."""

    request: int
    subscription: int | None


@dataclass(frozen=True, slots=True)
class Notification:
    """An event of a subscription. Its content is not read: it would be no proof."""

    subscription: int


@dataclass(frozen=True, slots=True)
class AccountNotification:
    """An account of a program changed. Only its address is read: what it holds is read again, from the chain."""

    subscription: int
    address: str


def subscribe_message(request: int, signature: str) -> str:
    """Requests a notification once `signature` is confirmed."""
    return _call(request, "signatureSubscribe", [signature, {"commitment": "confirmed"}])


def subscribe_program_message(request: int, program: str, filters: AccountFilters) -> str:
    """Requests notifications of the accounts of `program` that match, whenever a change of them is confirmed."""
    # Without data: a busy program would send far more bytes than the addresses that are needed.
    options = {**program_search(filters), "dataSlice": {"offset": 0, "length": 0}}
    return _call(request, "programSubscribe", [program, options])


def unsubscribe_program_message(request: int, subscription: int) -> str:
    """Ends a subscription of a program."""
    return _call(request, "programUnsubscribe", [subscription])


def unsubscribe_message(request: int, subscription: int) -> str:
    """Ends a subscription."""
    return _call(request, "signatureUnsubscribe", [subscription])


def read_message(message: str | bytes) -> SubscriptionReply | Notification | AccountNotification | None:
    """Decodes a message from a node. None: it matters to no subscription, or is not readable."""
    try:
        match json.loads(message):
            case {"method": "signatureNotification", "params": {"subscription": subscription}}:
                return Notification(read_u64(subscription))
            case {
                "method": "programNotification",
                "params": {"subscription": subscription, "result": {"value": {"pubkey": address}}},
            }:
                return AccountNotification(read_u64(subscription), read_address(address))
            case {"id": _, "result": bool()}:
                return None  # the reply to an unsubscription
            case {"id": request, "result": subscription}:
                return SubscriptionReply(read_u64(request), read_u64(subscription))
            case {"id": request, "error": _}:
                return SubscriptionReply(read_u64(request), None)
    except (*DECODE_ERRORS, RecursionError):
        pass  # a node that sends nonsense costs a notification, and polling replaces that
    return None


def websocket_urls(url: httpx2.URL) -> list[httpx2.URL]:
    """Where the WebSocket of the node at `url` may be, the likeliest address first."""
    if url.scheme == "https":
        return [url.copy_with(scheme="wss")]
    same_port = url.copy_with(scheme="ws")
    if url.port is None or url.port >= _MAX_PORT:
        return [same_port]
    # A validator serves WebSocket one port above HTTP; a proxy in front of it serves both on one port.
    return [same_port, same_port.copy_with(port=url.port + 1)]


class RpcWebSocket:
    """An open connection to a node."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: httpx2.URL, headers: dict[str, str], seconds: float) -> "RpcWebSocket":
        """Connects within `seconds`. Raises `OSError`, `TimeoutError` or one of tornado's own errors."""
        authorization = HTTPHeaders({name: value for name, value in headers.items() if name == "Authorization"})
        # No redirects: the keys in the URL and headers are for this host only.
        request = HTTPRequest(str(url), headers=authorization, connect_timeout=seconds, follow_redirects=False)
        opening = asyncio.ensure_future(
            websocket_connect(
                request, ping_interval=PING_SECONDS, ping_timeout=PING_SECONDS, max_message_size=MAX_MESSAGE_BYTES
            )
        )
        try:
            async with asyncio.timeout(seconds):
                return cls(await asyncio.shield(opening))
        except (TimeoutError, asyncio.CancelledError):
            # Tornado's connect cannot be cancelled. If it succeeds later, the connection is closed at once.
            opening.add_done_callback(_close_unused)
            raise

    def send(self, message: str) -> None:
        """Sends a message. A lost connection is reported by `receive`, not here."""
        try:
            written: Any = self._connection.write_message(message)
        except (WebSocketClosedError, StreamClosedError):
            return
        written.add_done_callback(ignore_exception)

    async def receive(self) -> str | bytes | None:
        """The next message. None: the connection is lost."""
        return await self._connection.read_message()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _call(request: int, method: str, params: list[object]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request, "method": method, "params": params})


def _close_unused(opening: "asyncio.Future[WebSocketClientConnection]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
