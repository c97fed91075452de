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
from dexexec.domain.solana import Account, AccountFilters
from dexexec.settlement.solana.rpc.decode.accounts import read_account
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS, read_address, read_u64
from dexexec.settlement.solana.rpc.methods import program_search

MAX_MESSAGE_BYTES = 1024 * 1024
PING_SECONDS = 20.0
MAX_WHY_LENGTH = 200
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class SubscriptionReply:
    """The reply to the request `request`: its subscription number, None if the node refused, and why it did."""

    request: int
    subscription: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """An event of a subscription. Its content is not read: it would be no proof."""

    subscription: int


@dataclass(frozen=True, slots=True)
class AccountNotification:
    """An account of a program changed. Only its address is read: what it holds is read again, from the chain."""

    subscription: int
    address: str


@dataclass(frozen=True, slots=True)
class AccountChange:
    """An account as of `slot`; None: it does not exist any more."""

    subscription: int
    slot: int
    account: Account | None


def subscribe_account_message(request: int, address: str, commitment: str) -> str:
    """Requests notifications of an account, whenever a change of it has this commitment."""
    return _call(request, "accountSubscribe", [address, {"encoding": "base64", "commitment": commitment}])


def unsubscribe_account_message(request: int, subscription: int) -> str:
    """Ends a subscription of an account."""
    return _call(request, "accountUnsubscribe", [subscription])


def subscribe_message(request: int, signature: str, commitment: str) -> str:
    """Requests a notification once `signature` has this commitment."""
    return _call(request, "signatureSubscribe", [signature, {"commitment": commitment}])


def subscribe_program_message(request: int, program: str, filters: AccountFilters, commitment: str) -> str:
    """Requests notifications of the accounts of `program` that match, whenever a change of them has this commitment."""
    # Without data: a busy program would send far more bytes than the addresses that are needed.
    options = {**program_search(filters), "commitment": commitment, "dataSlice": {"offset": 0, "length": 0}}
    return _call(request, "programSubscribe", [program, options])


def unsubscribe_program_message(request: int, subscription: int) -> str:
    """Ends a subscription of a program."""
    return _call(request, "programUnsubscribe", [subscription])


def unsubscribe_message(request: int, subscription: int) -> str:
    """Ends a subscription."""
    return _call(request, "signatureUnsubscribe", [subscription])


SocketMessage = SubscriptionReply | Notification | AccountNotification | AccountChange


def read_message(message: str | bytes) -> SocketMessage | None:
    """Decodes a message from a node. None: it matters to no subscription, or is not readable."""
    try:
        match json.loads(message):
            case {"method": str(method), "params": {"subscription": subscription, "result": result}}:
                return _read_notification(method, read_u64(subscription), result)
            case {"id": _, "result": bool()}:
                return None  # the reply to an unsubscription
            case {"id": request, "result": subscription}:
                return SubscriptionReply(read_u64(request), read_u64(subscription))
            case {"id": request, "error": error}:
                return SubscriptionReply(read_u64(request), None, _why(error))
    except (*DECODE_ERRORS, RecursionError):
        pass  # a node that sends nonsense costs a notification, and polling replaces that
    return None


def _read_notification(method: str, subscription: int, result: Any) -> SocketMessage | None:
    match method, result:
        case "signatureNotification", _:
            return Notification(subscription)
        case "programNotification", {"value": {"pubkey": address}}:
            return AccountNotification(subscription, read_address(address))
        case "accountNotification", {"context": {"slot": slot}, "value": value}:
            return AccountChange(subscription, read_u64(slot), _read_changed(value))
    return None


def _read_changed(value: Any) -> Account | None:
    account = None if value is None else read_account(value)
    # A node notifies of an account that was removed as of one without lamports.
    return account if account is not None and account.lamports else None


def _why(error: object) -> str:
    match error:
        case {"message": str(message), "code": int(code)}:
            return f"{' '.join(message.split())[:MAX_WHY_LENGTH]} ({code})"
    return "an error"


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
