"""One JSON-RPC endpoint over HTTP: sends a call once, and limits the time and size of its answer.

The URL may hold keys. So a node is shown by its name only, messages from it are cleaned of the URL's parts, and
requests go to the transport directly: httpx's client would log URLs and follow redirects.
"""

import asyncio
import base64
import json
import re
import time
from typing import Any, TypeVar

import httpx2

from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS
from dexexec.settlement.solana.rpc.methods import MethodCall
from dexexec.settlement.solana.rpc.node_errors import (
    MIN_CONTEXT_SLOT_NOT_REACHED,
    REQUEST_ERRORS,
    TOO_MANY_REQUESTS,
    UNSUPPORTED,
    MethodUnsupportedError,
    NodeBehindError,
    NodeRateLimitedError,
    NodeRefusedError,
    NodeUnavailableError,
)
from dexexec.settlement.solana.rpc.node_urls import url_secrets
from dexexec.venue import BadAnswer, Timeout, Unreachable, VenueError

T = TypeVar("T")
MAX_ANSWER_BYTES = 16 * 1024 * 1024
KEEPALIVE_SECONDS = 15.0
"""How long an idle connection is kept."""
LIMITS = httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=KEEPALIVE_SECONDS)
MOST_SHARED_SENDS = 32
"""Sends at once that use the connections of all other requests: half of them."""
BROKEN_CONNECTION = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
"""Errors of a connection that was established and broke before its answer came."""
_FORBIDDEN = {403, 410}
SEARCH = "getProgramAccounts"
SEND = "sendTransaction"
_MAX_MESSAGE_LENGTH = 300


class Node:
    """An endpoint. `timeout` limits one call, in seconds. Raises `ValueError`, without the URL, for an invalid URL."""

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self.name = name
        self._timeout = timeout
        self._secrets = url_secrets(url)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            target = httpx2.URL(url)
        except httpx2.InvalidURL:
            # `from None`: the original error quotes the URL.
            raise ValueError(f"the address of {name} is not a valid URL") from None
        if target.userinfo:
            user = f"{target.username}:{target.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
        self.host = target.host
        self.endpoint = f"{target.host}:{target.port or target.scheme}"
        self.url = target.copy_with(username=None, password=None)
        self.headers = headers
        self._verify = target.scheme == "https"
        self._transport = httpx2.AsyncHTTPTransport(limits=LIMITS, verify=self._verify)
        self._overflow: httpx2.AsyncHTTPTransport | None = None
        self._sending = 0
        self._calls = 0
        self._answered_at = -KEEPALIVE_SECONDS

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    async def call(self, call: MethodCall[T]) -> T:
        """The decoded result. Raises only `NodeUnavailableError` and `NodeRefusedError`."""
        self._calls += 1
        number = self._calls
        request = {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.params}
        self._sending += call.method == SEND
        try:
            body = await self._post(json.dumps(request).encode(), call.method)
        finally:
            self._sending -= call.method == SEND
        result = self._result(body, number, call.method)
        try:
            return call.decode(result)
        except DECODE_ERRORS:
            raise self._unavailable(f"answered {call.method} with an unreadable result", BadAnswer) from None

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()
        if self._overflow is not None:
            await self._overflow.aclose()

    async def _post(self, body: bytes, method: str) -> bytes:
        """The body of an answer with status 200."""
        # Half of the time at most for a connection, so that the other half is left for the answer.
        phases = {"connect": self._timeout / 2, "pool": self._timeout / 2}
        request = httpx2.Request("POST", self.url, headers=self.headers, content=body, extensions={"timeout": phases})
        kind: type[VenueError] = Unreachable
        sent = True
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._exchange(request, method)
                except BROKEN_CONNECTION:
                    if not self._may_retry(method):
                        raise
                return await self._exchange(request, method)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            why = f"cannot be connected to ({self.clean(error)})"
            sent = False
        except (TimeoutError, httpx2.TimeoutException):
            why = f"did not answer within {self._timeout:g} s"
            kind = Timeout
        except (httpx2.TransportError, httpx2.StreamError, OSError, AttributeError) as error:
            # anyio raises the last two for a connection that is reset while anyio reads the new socket's address.
            why = f"broke off ({self.clean(error)})"
        # Raised outside the except blocks: the original error, which contains the URL, must not become its context.
        raise self._unavailable(why, kind, sent=sent)

    def _may_retry(self, method: str) -> bool:
        """Whether to repeat a request whose connection broke."""
        # A server may close an idle connection in the moment it is used again; that can only have happened shortly
        # after the last answer. A send is never repeated here: settlement counts each send.
        return method != SEND and time.monotonic() <= self._answered_at + KEEPALIVE_SECONDS

    def _transport_for(self, method: str) -> httpx2.AsyncHTTPTransport:
        # Sends share the connections of the lookups, which keep them open. A node that lets many sends hang must not
        # take all of those connections, or no lookup could reach it any more.
        if method != SEND or self._sending <= MOST_SHARED_SENDS:
            return self._transport
        if self._overflow is None:
            self._overflow = httpx2.AsyncHTTPTransport(limits=LIMITS, verify=self._verify)
        return self._overflow

    async def _exchange(self, request: httpx2.Request, method: str) -> bytes:
        response = await self._transport_for(method).handle_async_request(request)
        try:
            if response.status_code != 200:
                raise self._status_error(response, method)
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise self._unavailable(f"answered with more than {MAX_ANSWER_BYTES} bytes", BadAnswer)
            self._answered_at = time.monotonic()
            return bytes(body)
        finally:
            # Also for an answer that is not read: otherwise its connection stays in use.
            await response.aclose()

    def _status_error(self, response: httpx2.Response, method: str) -> NodeUnavailableError:
        why = f"{self.name} answered with HTTP status {response.status_code}"
        if response.status_code in TOO_MANY_REQUESTS:
            return NodeRateLimitedError(why, _read_seconds(response.headers.get("Retry-After", "")))
        # Providers forbid searches in cheap plans while they allow everything else.
        if response.status_code in _FORBIDDEN and method == SEARCH:
            return MethodUnsupportedError(why, method)
        return NodeUnavailableError(why, Unreachable)

    def _result(self, body: bytes, number: int, method: str) -> Any:
        """The result of call `number`. Raises the error that the node answered with."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise self._unavailable("answered with invalid JSON", BadAnswer) from None
        match document:
            case {"id": answered, "error": {"code": int(code), "message": str(message), **rest}} if answered == number:
                message = f"{self.name}: {self.clean(message)} ({code})"
                if code in REQUEST_ERRORS:
                    raise NodeRefusedError(message, code, rest.get("data"))
                if code in TOO_MANY_REQUESTS:
                    raise NodeRateLimitedError(message)
                if code in UNSUPPORTED:
                    raise MethodUnsupportedError(message, method)
                if code == MIN_CONTEXT_SLOT_NOT_REACHED:
                    raise NodeBehindError(f"{self.name} lags behind: {self.clean(rest.get('data') or code)}")
                raise NodeUnavailableError(message, Unreachable)
            case {"id": answered, "result": result} if answered == number:
                return result
        raise self._unavailable("answered with something other than JSON-RPC", BadAnswer)

    def _unavailable(self, why: str, kind: type[VenueError], *, sent: bool = True) -> NodeUnavailableError:
        return NodeUnavailableError(f"{self.name} {why}", kind, sent=sent)

    def clean(self, message: object) -> str:
        """One short line without control characters and without the URL's secrets."""
        text = " ".join(str(message).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(letter for letter in text if letter.isprintable())[:_MAX_MESSAGE_LENGTH]


def _read_seconds(retry_after: str) -> float | None:
    """`Retry-After` in seconds. Its other form, a date, is ignored: it is from a clock that may differ from this
    machine's."""
    text = retry_after.strip()
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else None
