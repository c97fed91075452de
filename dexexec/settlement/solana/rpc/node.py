"""One JSON-RPC endpoint over HTTP: asked once per call, answered or not within a bounded time and size.

URLs of nodes hold keys, in their path, query or user part. So a node is known by its host and port alone, what it says
is cleaned of the rest, and requests go straight to the transport, as the client above it logs URLs and follows
redirects.
"""

import asyncio
import base64
import json
import re
import time
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx2

from dexexec.observe.redaction import masked_host
from dexexec.settlement.solana.rpc.decode_values import DECODE_ERRORS
from dexexec.settlement.solana.rpc.methods import MethodCall
from dexexec.venue import BadAnswer, RateLimited, Timeout, Unreachable, VenueError

T = TypeVar("T")
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer."""
KEPT_SECONDS = 15.0
"""How long a connection is kept that rests."""
LIMITS = httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=KEPT_SECONDS)
BROKEN = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
"""A connection that was made, and broke before its answer came."""
PREFLIGHT_FAILURE, INVALID_PARAMS = -32002, -32602
SIGNATURE_FAILURE, PRECOMPILE_FAILURE = -32003, -32006
REFUSALS = {PREFLIGHT_FAILURE, SIGNATURE_FAILURE, PRECOMPILE_FAILURE, INVALID_PARAMS}
"""Errors that are about what was asked. Any other is about the node, and another one may do better."""
TOO_MANY = {429, -32429}
MIN_CONTEXT_SLOT_NOT_REACHED = -32016
METHOD_NOT_FOUND, NOT_INDEXED, NO_HISTORY = -32601, -32010, -32011
LACKING = {METHOD_NOT_FOUND, NOT_INDEXED, NO_HISTORY}
"""Errors which say that a node does not do that, and nothing about what else it does."""
_FORBIDDEN = {403, 410}
SEARCH, SEND = "getProgramAccounts", "sendTransaction"
_LONGEST_MESSAGE = 300
_SHORTEST_SECRET = 6


class NodeUnavailableError(Exception):
    """The node gave no answer that can be used. `kind` says so to others; `sent` whether it may have got the request,
    and acted on it."""

    def __init__(self, message: str, kind: type[VenueError], *, sent: bool = True) -> None:
        super().__init__(message)
        self.kind, self.sent = kind, sent


class NodeRateLimitedError(NodeUnavailableError):
    """The node was asked too often, and takes nothing for now: for `wanted` seconds, if it says so."""

    def __init__(self, message: str, wanted: float | None = None, *, sent: bool = True) -> None:
        super().__init__(message, RateLimited, sent=sent)
        self.wanted = wanted


class NodeBehindError(NodeUnavailableError):
    """The node has not come yet to the slot that was asked for. Nothing is wrong with it otherwise."""

    def __init__(self, message: str, behind: int = 0) -> None:
        super().__init__(message, Unreachable)
        self.behind = behind


class MethodUnsupportedError(NodeUnavailableError):
    """The node does not do what it was asked, whoever asks. Nothing is wrong with it otherwise."""

    def __init__(self, message: str, method: str) -> None:
        super().__init__(message, Unreachable)
        self.method = method


class NodeRefusedError(Exception):
    """The node answers that the request is wrong: a JSON-RPC error of `REFUSALS`."""

    def __init__(self, message: str, code: int, data: Any) -> None:
        super().__init__(message)
        self.code, self.data = code, data


class Node:
    """An endpoint. `timeout` bounds one call, in seconds. Raises `ValueError` for a URL that is none, without it."""

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self.name = name
        self._timeout = timeout
        self._secrets = url_secrets(url)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            target = httpx2.URL(url)
        except httpx2.InvalidURL:
            raise ValueError(f"the address of {name} is no URL") from None
        if target.userinfo:
            user = f"{target.username}:{target.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
        self.host = target.host
        self.endpoint = f"{target.host}:{target.port or target.scheme}"
        self.url, self.headers = target.copy_with(username=None, password=None), headers
        self._transport = httpx2.AsyncHTTPTransport(limits=LIMITS, verify=target.scheme == "https")
        self._calls = 0
        self._answered_at = -KEPT_SECONDS

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    async def ask(self, question: MethodCall[T]) -> T:
        """The answer. Raises `NodeUnavailableError` or `NodeRefusedError`, nothing else."""
        self._calls += 1
        number = self._calls
        call = {"jsonrpc": "2.0", "id": number, "method": question.method, "params": question.params}
        result = self._result(await self._post(json.dumps(call).encode(), question.method), number, question.method)
        try:
            return question.read(result)
        except DECODE_ERRORS:
            raise self._unavailable(f"answered {question.method} in a shape that is none", BadAnswer) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _post(self, body: bytes, method: str) -> bytes:
        """The body of an answer with status 200."""
        phases = {"connect": self._timeout / 2, "pool": self._timeout / 2}
        request = httpx2.Request("POST", self.url, headers=self.headers, content=body, extensions={"timeout": phases})
        kind: type[VenueError] = Unreachable
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._exchange(request, method)
                except BROKEN:
                    if method == SEND or time.monotonic() > self._answered_at + KEPT_SECONDS:
                        raise
                # The connection was one that had rested, and broke as it was taken up again.
                return await self._exchange(request, method)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            why, sent = f"cannot be connected to ({self.clean(error)})", False
        except (TimeoutError, httpx2.TimeoutException):
            why, kind, sent = f"did not answer within {self._timeout:g} s", Timeout, True
        except (httpx2.TransportError, httpx2.StreamError, OSError, AttributeError) as error:
            # The last two are anyio's, of a connection that was reset just as it was made: it has no address any more.
            why, sent = f"broke off ({self.clean(error)})", True
        # Raised here, so that nothing that knows the URL hangs on to it.
        raise self._unavailable(why, kind, sent=sent)

    async def _exchange(self, request: httpx2.Request, method: str) -> bytes:
        response = await self._transport.handle_async_request(request)
        try:
            if response.status_code != 200:
                raise self._status_error(response, method)
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_ANSWER:
                    raise self._unavailable(f"answered with more than {MAX_ANSWER} bytes", BadAnswer)
            self._answered_at = time.monotonic()
            return bytes(body)
        finally:
            await response.aclose()

    def _status_error(self, response: httpx2.Response, method: str) -> NodeUnavailableError:
        why = f"{self.name} answered with HTTP status {response.status_code}"
        if response.status_code in TOO_MANY:
            return NodeRateLimitedError(why, _seconds(response.headers.get("Retry-After", "")))
        if response.status_code in _FORBIDDEN and method == SEARCH:
            return MethodUnsupportedError(why, method)
        return NodeUnavailableError(why, Unreachable)

    def _result(self, body: bytes, call: int, method: str) -> Any:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise self._unavailable("answered what is no JSON", BadAnswer) from None
        match document:
            case {"id": answered, "error": {"code": int(code), "message": str(message), **rest}} if answered == call:
                message = f"{self.name}: {self.clean(message)} ({code})"
                if code in REFUSALS:
                    raise NodeRefusedError(message, code, rest.get("data"))
                if code in TOO_MANY:
                    raise NodeRateLimitedError(message)
                if code in LACKING:
                    raise MethodUnsupportedError(message, method)
                if code == MIN_CONTEXT_SLOT_NOT_REACHED:
                    raise NodeBehindError(f"{self.name} lags behind: {self.clean(rest.get('data') or code)}")
                raise NodeUnavailableError(message, Unreachable)
            case {"id": answered, "result": result} if answered == call:
                return result
        raise self._unavailable("answered what is no JSON-RPC", BadAnswer)

    def _unavailable(self, why: str, kind: type[VenueError], *, sent: bool = True) -> NodeUnavailableError:
        return NodeUnavailableError(f"{self.name} {why}", kind, sent=sent)

    def clean(self, said: object) -> str:
        """One short line without control characters, and without anything of the URL's that may be secret."""
        text = " ".join(str(said).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_MESSAGE]


def node_names(urls: list[str]) -> list[str]:
    """Host without a key in its first label, and port if it is given; with its place in the list where that would not
    tell two nodes apart. Raises `ValueError` for one that is no URL of a node, naming its place only."""
    hosts = [_host(url, place) for place, url in enumerate(urls, 1)]
    return [host if hosts.count(host) == 1 else f"{host} ({place})" for place, host in enumerate(hosts, 1)]


def url_secrets(url: str) -> list[str]:
    """The parts of a URL that may be keys, as written and as meant, the longest first."""
    parts = urlsplit(url)
    found = re.split(r"[/?&=@:#;,]", f"{parts.netloc.rpartition('@')[0]}/{parts.path}?{parts.query}#{parts.fragment}")
    if parts.hostname and masked_host(parts.hostname) != parts.hostname:
        found.append(parts.hostname.partition(".")[0])
    both = {secret for part in found for secret in (part, unquote(part)) if len(secret) >= _SHORTEST_SECRET}
    return sorted(both, key=len, reverse=True)


def _seconds(text: str) -> float | None:
    """`Retry-After` in seconds; the other form, a date, is of somebody else's clock and not read."""
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text.strip()) else None


def _host(url: str, place: int) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError(f"the address of node {place} must be http://HOST or https://HOST, with a port or path if any")
    host = f"[{host}]" if ":" in host else masked_host(host)
    return host if port is None else f"{host}:{port}"
