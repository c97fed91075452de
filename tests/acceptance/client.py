"""Clients of the running service: orders over HTTP, and sockets that follow orders through every close."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

PATH = "/api/orders/execute"
Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, object]


class Http:
    """HTTP with as many connections at once as there are requests; `timeout` (seconds) for each."""

    def __init__(self, client: AsyncHTTPClient, timeout: float) -> None:
        self._client, self._timeout = client, timeout

    async def order(self, url: str, amount: str = "0.01", side: str = "buy", **headers: str) -> Answer:
        """Post an order."""
        return await self.post(url, {"side": side, "amount": amount}, **headers)

    async def post(self, url: str, order: Mapping[str, object], **headers: str) -> Answer:
        """Post an order with any fields."""
        body = json.dumps(order)
        return await self._ask(f"{url}{PATH}", method="POST", body=body, headers={**JSON, **headers})

    async def accepted(self, url: str, amount: str = "0.01", side: str = "buy") -> str:
        """Post an order that must be accepted; its id."""
        answer = await self.order(url, amount, side)
        assert answer.status == 202, answer
        return str(answer.body["orderId"])

    async def get(self, url: str) -> Answer:
        """Read a resource."""
        return await self._ask(url)

    async def _ask(self, url: str, **options: object) -> Answer:
        request = HTTPRequest(url, request_timeout=self._timeout, connect_timeout=self._timeout, **options)  # type: ignore[arg-type]
        answer: HTTPResponse = await self._client.fetch(request, raise_error=False)
        if answer.code == 599:
            assert answer.error is not None
            raise answer.error
        return Answer(answer.code, answer.headers, json.loads(answer.body))


JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def http(timeout: float = 20) -> AsyncIterator[Http]:
    """A client, closed at the end."""
    client = SimpleAsyncHTTPClient(force_instance=True, max_clients=1_000)
    try:
        yield Http(client, timeout)
    finally:
        client.close()


@dataclass
class Watch:
    """Follows orders, on one socket at a time, until each has its final event. A socket that closes, for whatever
    reason, is followed by another that resumes behind the last `seq`; every event must come once, in order.

    `address` is asked for each connection.
    """

    address: Callable[[], str]
    events: dict[str, list[Event]] = field(default_factory=dict)
    closes: list[int | None] = field(default_factory=list)
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    on: str = ""
    """The address that the socket is connected to."""
    _socket: WebSocketClientConnection | None = None

    def also(self, order_ids: Iterable[str]) -> "Watch":
        """Follow these as well, from their first event on."""
        for order_id in order_ids:
            self.events[order_id] = []
            if self._socket is not None:
                self._subscribe(order_id)
        return self

    @property
    def unfinished(self) -> list[str]:
        return [order_id for order_id, events in self.events.items() if not events or not events[-1]["final"]]

    async def run(self) -> "Watch":
        """Until all are finished."""
        while self.unfinished:
            try:
                await self._one_socket()
            except (OSError, WebSocketClosedError):  # nobody listens there now; the stand's processes come back
                await asyncio.sleep(0.02)
        return self

    async def reach(self, condition: Callable[["Watch"], bool], seconds: float = 20.0) -> None:
        """Wait until what was seen satisfies `condition`."""
        async with asyncio.timeout(seconds):
            while not condition(self):
                self.grew.clear()
                await self.grew.wait()

    def at(self, status: str) -> list[str]:
        """The orders whose last event has this status."""
        return [order_id for order_id, events in self.events.items() if events and events[-1]["status"] == status]

    async def _one_socket(self) -> None:
        self.on = self.address()
        url = f"{self.on.replace('http', 'ws', 1)}{PATH}"
        socket = await websocket_connect(HTTPRequest(url, connect_timeout=5, request_timeout=5))
        try:
            self._socket = socket
            for order_id in self.unfinished:
                self._subscribe(order_id)
            while self.unfinished:
                heard = await socket.read_message()
                if heard is None:
                    self.closes.append(socket.close_code)
                    self.grew.set()
                    return
                self._take(json.loads(heard))
        finally:
            self._socket = None
            socket.close()

    def _subscribe(self, order_id: str) -> None:
        assert self._socket is not None
        message = json.dumps({"orderId": order_id, "afterSeq": len(self.events[order_id])})
        with suppress(WebSocketClosedError):  # the next socket does it
            self._socket.write_message(message)

    def _take(self, event: Event) -> None:
        error = event.get("error")
        if isinstance(error, dict) and error["code"] == "unavailable":
            return  # the subscription stands
        events = self.events[str(event["orderId"])]
        assert event["seq"] == len(events) + 1, (event, events)
        events.append(event)
        self.grew.set()


@asynccontextmanager
async def watching(address: Callable[[], str], order_ids: Iterable[str]) -> AsyncIterator[Watch]:
    """Follow orders beside the block, and at its end until all are finished."""
    watch = Watch(address).also(order_ids)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
        await task
    finally:
        task.cancel()
