"""The demo's client, as any client of the service could be written: it neither loses nor repeats anything.

A POST has an Idempotency-Key, so that it can be repeated after a lost answer. A socket that ends is opened again with
`afterSeq`. Events are collected in `DemoOrder`s, and checked in `demo.order`.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from dexexec.demo.order import DemoOrder, Message, one_line
from dexexec.errors import UnreachableError

EXECUTE = "/api/orders/execute"
POSTS_AT_ONCE = 20
CONNECTS_AT_ONCE = 50
POST_TRIES = 15
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
REQUEST_SECONDS = 15.0
CHECK_SECONDS = 5.0
CLOSE_SECONDS = 2.0
PING_SECONDS = 10.0
REFUSALS = frozenset({400, 401, 403, 404, 405, 426})
"""Answers to a handshake for which a retry is useless."""


class DemoClient:
    """Posts orders, follows each on its own socket, and reads records.

    `changed` is called with an order that has changed, `say` with messages for people. `now` is a monotonic clock
    (seconds).
    """

    def __init__(
        self, url: str, *, changed: Callable[[DemoOrder], None], say: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        self._url = url.rstrip("/")
        self._changed, self._say, self._now = changed, say, now
        self._posting, self._connecting = asyncio.Semaphore(POSTS_AT_ONCE), asyncio.Semaphore(CONNECTS_AT_ONCE)
        self._http = AsyncHTTPClient(force_instance=True, max_clients=POSTS_AT_ONCE)
        self._cut: set[DemoOrder] = set()
        self._cut_at = 0.0

    def close(self) -> None:
        """Close the HTTP client."""
        self._http.close()

    async def check(self) -> None:
        """Check that the service answers. Raises `UnreachableError`, with the remedy."""
        try:
            answer = await self._fetch("/readyz", CHECK_SECONDS)
        except (HTTPClientError, OSError, ValueError) as error:
            text = f"{self._url} does not answer ({_words(error)}): is it running? Start it with python -m dexexec"
            raise UnreachableError(f"{text}, or name another server with --url") from error
        health = _object(answer.body)
        if answer.code not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE} or "missing" not in health:
            text = f"the server at {self._url} is not dexexec (HTTP {answer.code} for /readyz)"
            raise UnreachableError(f"{text}: name the right server with --url")
        missing = health["missing"]
        if isinstance(missing, list) and missing:
            self._say(f"the server is not ready, {' and '.join(map(str, missing))} missing: orders may have to wait")

    async def execute(self, order: DemoOrder) -> None:
        """Post an order and follow it to its end, unless it is given up."""
        async with self._posting:
            await self._post(order)
        if order.order_id:
            await self._follow(order)

    async def read_record(self, order: DemoOrder) -> None:
        """Read the order's record from the service; it stays None without an answer."""
        try:
            async with self._posting:
                answer = await self._fetch(f"/api/orders/{order.order_id}", REQUEST_SECONDS)
        except (HTTPClientError, OSError):
            return
        if answer.code == HTTPStatus.OK:
            order.record = _object(answer.body)

    async def _post(self, order: DemoOrder) -> None:
        body = json.dumps({"side": order.side, "amount": order.amount})
        headers = {"Content-Type": "application/json", "Idempotency-Key": order.key}
        order.posted_at = self._now()
        for tried in range(1, POST_TRIES + 1):
            pause: float | None = _pause(tried)
            try:
                answer = await self._fetch(EXECUTE, REQUEST_SECONDS, method="POST", headers=headers, body=body)
            except (HTTPClientError, OSError) as error:
                order.note = f"no answer ({_words(error)})"
            else:
                reply = _object(answer.body)
                if answer.code == HTTPStatus.ACCEPTED and isinstance(reply.get("orderId"), str):
                    order.order_id, order.note = str(reply["orderId"]), ""
                    self._changed(order)
                    return
                order.note, pause = describe(answer.code, reply), retry_after(answer.code, answer.headers, reply)
            if pause is None or tried == POST_TRIES:
                break
            order.note += f"; again in {pause:.1f} s"
            self._changed(order)
            await asyncio.sleep(pause)
        order.given_up = order.note if pause is None else f"{order.note}, {POST_TRIES} times"
        self._changed(order)

    async def _follow(self, order: DemoOrder) -> None:
        failures = 0
        while not order.ended and not order.given_up:
            if failures:
                await asyncio.sleep(_pause(failures))
            received = len(order.events)
            cause = await self._one_socket(order)
            failures = failures + 1 if len(order.events) == received else 1
            if cause and not order.ended and not order.given_up:
                self._lost(order, cause)
        self._back(order)

    async def _one_socket(self, order: DemoOrder) -> str:
        """Follow on one socket until it ends; returns why it ended."""
        request = HTTPRequest(self._url.replace("http", "ws", 1) + EXECUTE, request_timeout=REQUEST_SECONDS)
        try:
            async with self._connecting:
                connection = await websocket_connect(request, ping_interval=PING_SECONDS)
        except HTTPClientError as error:
            if error.code in REFUSALS:
                order.given_up = f"its socket was refused: HTTP {error.code} {_words(error)}"
                self._changed(order)
            return _words(error)
        except (WebSocketError, OSError) as error:
            return _words(error)
        order.sockets += 1
        try:
            await connection.write_message(json.dumps(_subscription(order)))
            self._back(order)
            while not order.ended and not order.given_up:
                message = await connection.read_message()
                if message is None:
                    return _close_cause(connection)
                self._hear(order, message)
            await self._say_goodbye(order, connection)
        except (WebSocketError, OSError) as error:
            return _words(error)
        finally:
            connection.close()
        return ""

    async def _say_goodbye(self, order: DemoOrder, connection: WebSocketClientConnection) -> None:
        """Close, and read further messages until the other side closes too, for a short time."""
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while (message := await connection.read_message()) is not None:
                    self._hear(order, message)
        except TimeoutError:
            pass

    def _hear(self, order: DemoOrder, message: str | bytes) -> None:
        received = _object(message)
        error = received.get("error")
        if isinstance(error, dict):
            text = f"{error.get('code')}: {one_line(str(error.get('message')))}"
            if error.get("code") == "unavailable":
                order.note = text
            else:
                order.given_up = f"its socket received the error {text}"
        elif not order.take(received, self._now()):
            order.given_up = f"its socket received an invalid event: {one_line(str(message)[:80])}"
        self._changed(order)

    def _lost(self, order: DemoOrder, cause: str) -> None:
        if not self._cut:
            self._cut_at = self._now()
            self._say(f"connection lost ({cause}): reconnecting with afterSeq")
        self._cut.add(order)
        order.note = "reconnecting"

    def _back(self, order: DemoOrder) -> None:
        if order not in self._cut:
            return
        order.note = ""
        self._cut.discard(order)
        if not self._cut:
            self._say(f"all sockets are connected again, after {self._now() - self._cut_at:.1f} s")

    async def _fetch(self, path: str, seconds: float, **options: object) -> HTTPResponse:
        request = HTTPRequest(self._url + path, request_timeout=seconds, connect_timeout=seconds, **options)  # type: ignore[arg-type]
        return await self._http.fetch(request, raise_error=False)


def check_url(url: str) -> None:
    """Raises `UnreachableError` unless `url` is a valid HTTP address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UnreachableError(f"--url must look like http://127.0.0.1:3000, not {one_line(url)!r}")


def describe(code: int, problem: Message) -> str:
    """A refusal as text for people: the problem document's title and detail, else the status."""
    title = one_line(str(problem.get("title") or ""))
    if not title:
        return f"HTTP {code}"
    errors = problem.get("errors")
    fields = [
        f"{error.get('field') or 'body'} {error.get('problem')}, expected {error.get('expected')}"
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    return one_line(f"{code} {title}: {'; '.join(fields) or problem.get('detail')}")


def retry_after(code: int, headers: Mapping[str, str], problem: Message) -> float | None:
    """Seconds until the next try; None if the answer will not change.

    `retryAfterMs` of the document is more exact than the header, which has whole seconds.
    """
    exact = problem.get("retryAfterMs")
    if isinstance(exact, int) and exact >= 0:
        return exact / 1000
    given = headers.get("Retry-After", "")
    if given.isascii() and given.isdigit():
        return float(given)
    return 1.0 if code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE} else None


def _subscription(order: DemoOrder) -> dict[str, object]:
    return {"orderId": order.order_id} | ({"afterSeq": order.last_seq} if order.last_seq else {})


def _pause(failures: int) -> float:
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)))


def _object(text: str | bytes) -> dict[str, object]:
    """The JSON object in `text`; empty if it has none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _words(error: Exception) -> str:
    text: str | None = str(error)
    if isinstance(error, HTTPClientError):
        text = error.message
    elif isinstance(error, OSError):
        text = error.strerror or str(error)
    return one_line(text or type(error).__name__)


def _close_cause(connection: WebSocketClientConnection) -> str:
    if connection.close_code is None:
        return "cut off"
    return f"closed with {connection.close_code}, {one_line(connection.close_reason or 'no reason given')}"
