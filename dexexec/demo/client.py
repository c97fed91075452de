"""The demo's HTTP and WebSocket client: an example of a client that neither loses nor duplicates an order.

A POST has an Idempotency-Key, so it can be repeated when its answer is lost. A socket that ends is opened again with
`afterSeq`. Received events are stored in `DemoOrder`; `order.py` checks them.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from dexexec.demo.kinds import net_price
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
FINAL_REFUSALS = frozenset({400, 401, 403, 404, 405, 426})
"""HTTP answers to a handshake that are the same when it is repeated."""


class DemoClient:
    """Posts orders, follows each on its own socket, and reads their records.

    `changed` is called with each order that changed, `say` with other lines for people. `now` is a monotonic clock
    (seconds).
    """

    def __init__(
        self, url: str, *, changed: Callable[[DemoOrder], None], say: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        self._url = url.rstrip("/")
        self._changed = changed
        self._say = say
        self._now = now
        # Thousands of connections at the same moment would overflow the server's queue of new connections.
        self._posting = asyncio.Semaphore(POSTS_AT_ONCE)
        self._connecting = asyncio.Semaphore(CONNECTS_AT_ONCE)
        # An own instance: the shared one of the event loop must not be closed, and allows only ten connections.
        self._http = AsyncHTTPClient(force_instance=True, max_clients=POSTS_AT_ONCE)
        self._disconnected: set[DemoOrder] = set()
        self._disconnected_at = 0.0

    def close(self) -> None:
        """Close the HTTP client."""
        self._http.close()

    async def check(self) -> None:
        """Check that the service answers. Raises `UnreachableError` with the remedy."""
        try:
            answer = await self._fetch("/readyz", CHECK_SECONDS)
        except (HTTPClientError, OSError, ValueError) as error:
            text = f"{self._url} does not answer ({_describe_error(error)}). Start the service with python -m dexexec"
            raise UnreachableError(f"{text}, or name another server with --url") from error
        health = _json_object(answer.body)
        # Only this service answers /readyz with a list of what is missing.
        if answer.code not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE} or "missing" not in health:
            text = f"the server at {self._url} is not dexexec (HTTP {answer.code} for /readyz)"
            raise UnreachableError(f"{text}: name the right server with --url")
        missing = health["missing"]
        if isinstance(missing, list) and missing:
            self._say(
                f"the server is not ready ({' and '.join(map(str, missing))} missing), so orders may have to wait"
            )

    async def prices(self, side: str, amounts: Sequence[str]) -> dict[str, Decimal]:
        """The best current price of each amount, net of fees. Raises `UnreachableError` if there is none."""
        query = urlencode({"side": side, "amount": ",".join(amounts)})
        try:
            answer = await self._fetch(f"/api/quote?{query}", REQUEST_SECONDS)
        except (HTTPClientError, OSError) as error:
            raise UnreachableError(f"{self._url} quotes no prices ({_describe_error(error)})") from error
        body = _json_object(answer.body)
        quotes = body.get("quotes")
        if answer.code != HTTPStatus.OK or not isinstance(quotes, list) or len(quotes) != len(amounts):
            raise UnreachableError(f"{self._url} quotes no prices ({describe(answer.code, body)})")
        found: dict[str, Decimal] = {}
        for amount, quote in zip(amounts, quotes, strict=True):
            venues = quote.get("venues") if isinstance(quote, dict) else None
            best = venues[0] if isinstance(venues, list) and venues and isinstance(venues[0], dict) else {}
            price = net_price(best, side)
            if price is None:
                detail = one_line(str(best.get("detail") or "no quote"))
                raise UnreachableError(
                    f"no venue quotes a price to {side} {amount} ({detail}): look at GET /api/venues"
                )
            found[amount] = price
        return found

    async def execute(self, order: DemoOrder) -> None:
        """Post an order and follow it to its end, or give it up."""
        async with self._posting:
            await self._post(order)
        if order.order_id:
            await self._follow(order)

    async def read_record(self, order: DemoOrder) -> None:
        """Read the stored order. `order.record` stays None if the service does not return it."""
        try:
            async with self._posting:
                answer = await self._fetch(f"/api/orders/{order.order_id}", REQUEST_SECONDS)
        except (HTTPClientError, OSError):
            return
        if answer.code == HTTPStatus.OK:
            order.record = _json_object(answer.body)

    async def _post(self, order: DemoOrder) -> None:
        body = json.dumps({"side": order.side, "amount": order.amount, **order.fields})
        headers = {"Content-Type": "application/json", "Idempotency-Key": order.key}
        order.posted_at = self._now()
        for attempt in range(1, POST_TRIES + 1):
            pause: float | None = _pause(attempt)
            try:
                answer = await self._fetch(EXECUTE, REQUEST_SECONDS, method="POST", headers=headers, body=body)
            except (HTTPClientError, OSError) as error:
                # The order may have been accepted all the same. The same key makes the next POST safe.
                order.note = f"no answer ({_describe_error(error)})"
            else:
                body_object = _json_object(answer.body)
                if answer.code == HTTPStatus.ACCEPTED and isinstance(body_object.get("orderId"), str):
                    order.order_id = str(body_object["orderId"])
                    order.note = ""
                    self._changed(order)
                    return
                order.note = describe(answer.code, body_object)
                pause = retry_after(answer.code, answer.headers, body_object)
            if pause is None or attempt == POST_TRIES:
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
            events_before = len(order.events)
            cause = await self._follow_on_one_socket(order)
            # Only sockets without an event make the pauses longer. A server that restarts often is still followed.
            failures = failures + 1 if len(order.events) == events_before else 1
            if cause and not order.ended and not order.given_up:
                self._mark_disconnected(order, cause)
        self._mark_connected(order)

    async def _follow_on_one_socket(self, order: DemoOrder) -> str:
        """Follow an order on one socket until it ends. Returns why it ended."""
        request = HTTPRequest(self._url.replace("http", "ws", 1) + EXECUTE, request_timeout=REQUEST_SECONDS)
        try:
            async with self._connecting:
                connection = await websocket_connect(request, ping_interval=PING_SECONDS)
        except HTTPClientError as error:
            if error.code in FINAL_REFUSALS:
                order.given_up = f"its socket was refused: HTTP {error.code} {_describe_error(error)}"
                self._changed(order)
            return _describe_error(error)
        except (WebSocketError, OSError) as error:
            return _describe_error(error)
        order.sockets += 1
        try:
            await connection.write_message(json.dumps(_subscription(order)))
            self._mark_connected(order)
            while not order.ended and not order.given_up:
                message = await connection.read_message()
                if message is None:
                    return _close_cause(connection)
                self._receive(order, message)
            await self._close_and_drain(order, connection)
        except (WebSocketError, OSError) as error:
            return _describe_error(error)
        finally:
            connection.close()
        return ""

    async def _close_and_drain(self, order: DemoOrder, connection: WebSocketClientConnection) -> None:
        """Close the socket, and receive everything until the server closes it too, for at most `CLOSE_SECONDS`."""
        # An event after the final one would be a fault of the service, so these messages are checked as well.
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while (message := await connection.read_message()) is not None:
                    self._receive(order, message)
        except TimeoutError:
            pass

    def _receive(self, order: DemoOrder, message: str | bytes) -> None:
        event = _json_object(message)
        error = event.get("error")
        if isinstance(error, dict):
            text = f"{error.get('code')}: {one_line(str(error.get('message')))}"
            # The service cannot read the order at the moment, and closes the socket: the next one resumes.
            if error.get("code") == "unavailable":
                order.note = text
            else:
                order.given_up = f"its socket received the error {text}"
        elif not order.add_event(event, self._now()):
            order.given_up = (
                f"its socket received a message that is not one of its events: {one_line(str(message)[:80])}"
            )
        self._changed(order)

    def _mark_disconnected(self, order: DemoOrder, cause: str) -> None:
        # One line for all sockets: a restart of the server disconnects them at the same time.
        if not self._disconnected:
            self._disconnected_at = self._now()
            self._say(f"connection lost ({cause}): reconnecting with afterSeq")
        self._disconnected.add(order)
        order.note = "reconnecting"

    def _mark_connected(self, order: DemoOrder) -> None:
        if order not in self._disconnected:
            return
        order.note = ""
        self._disconnected.discard(order)
        if not self._disconnected:
            self._say(f"all sockets are connected again, after {self._now() - self._disconnected_at:.1f} s")

    async def _fetch(self, path: str, seconds: float, **options: object) -> HTTPResponse:
        request = HTTPRequest(self._url + path, request_timeout=seconds, connect_timeout=seconds, **options)  # type: ignore[arg-type]
        return await self._http.fetch(request, raise_error=False)


def check_url(url: str) -> None:
    """Raises `UnreachableError` unless `url` is a valid http or https URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UnreachableError(f"--url must look like http://127.0.0.1:3000, not {one_line(url)!r}")


def describe(code: int, problem: Message) -> str:
    """A refusal for people: the text of its problem document, or the status code alone."""
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
    """Seconds after which to try again, or None if the answer will not change."""
    # `retryAfterMs` is more exact than the header, which has whole seconds.
    exact = problem.get("retryAfterMs")
    if isinstance(exact, int) and exact >= 0:
        return exact / 1000
    header = headers.get("Retry-After", "")
    if header.isascii() and header.isdigit():
        return float(header)
    return 1.0 if code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE} else None


def _subscription(order: DemoOrder) -> dict[str, object]:
    return {"orderId": order.order_id} | ({"afterSeq": order.last_seq} if order.last_seq else {})


def _pause(failures: int) -> float:
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)))


def _json_object(text: str | bytes) -> dict[str, object]:
    """The JSON object in `text`, or an empty one for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _describe_error(error: Exception) -> str:
    text: str | None = str(error)
    if isinstance(error, HTTPClientError):
        text = error.message
    elif isinstance(error, OSError):
        text = error.strerror or str(error)
    return one_line(text or type(error).__name__)


def _close_cause(connection: WebSocketClientConnection) -> str:
    if connection.close_code is None:
        return "the connection broke"
    return f"closed with {connection.close_code}, {one_line(connection.close_reason or 'no reason given')}"
