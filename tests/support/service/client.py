"""Clients of the running service: orders over HTTP, and sockets that follow orders through every close."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.answer_checks import check_message
from tests.support.raw_http import Exchange, exchange
from tests.support.raw_websocket import RawClient

PATH = "/api/orders/execute"
JSON = {"Content-Type": "application/json"}
HANDSHAKE_SECONDS = 5.0
Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, object]


class Http:
    """HTTP with as many connections at once as there are requests; `timeout` (seconds) for each. What is not answered
    raises OSError."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._asked: set[asyncio.Task[Exchange]] = set()

    async def order(self, url: str, amount: str = "0.01", side: str = "buy", **headers: str) -> Answer:
        """Post an order."""
        return await self.post(url, {"side": side, "amount": amount}, **headers)

    async def post(self, url: str, order: Mapping[str, object], **headers: str) -> Answer:
        """Post an order with any fields."""
        body = json.dumps(order).encode()
        return await self._ask(exchange(f"{url}{PATH}", "POST", body, {**JSON, **headers}, self._timeout))

    async def accepted(self, url: str, amount: str = "0.01", side: str = "buy") -> str:
        """Post an order that must be accepted; its id."""
        answer = await self.order(url, amount, side)
        assert answer.status == 202, answer
        return str(answer.body["orderId"])

    async def get(self, url: str) -> Answer:
        """Read a resource."""
        return await self._ask(exchange(url, seconds=self._timeout))

    async def patch(self, url: str, changes: Mapping[str, object], version: int) -> Answer:
        """Change a resource at that version."""
        headers = {**JSON, "If-Match": f'"{version}"'}
        return await self._ask(exchange(url, "PATCH", json.dumps(changes).encode(), headers, self._timeout))

    async def delete(self, url: str) -> Answer:
        """Delete a resource."""
        return await self._ask(exchange(url, "DELETE", seconds=self._timeout))

    async def ready_since(self, url: str, moment: float) -> bool:
        """Whether a service is ready by a look that it began after `moment` (monotonic seconds)."""
        asked = time.monotonic()
        answer = await self.get(f"{url}/readyz")
        return answer.status == 200 and asked - float(str(answer.body["ageMs"])) / 1000 > moment

    async def close(self) -> None:
        """Give up what is not answered yet."""
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    async def _ask(self, asking: Coroutine[object, object, Exchange]) -> Answer:
        task = asyncio.create_task(asking)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        answer = await task
        return Answer(answer.status, answer.headers, json.loads(answer.body))


@asynccontextmanager
async def http(timeout: float = 20) -> AsyncIterator[Http]:
    """A client; none of its requests outlives the block."""
    client = Http(timeout)
    try:
        yield client
    finally:
        await client.close()


@dataclass
class Watch:
    """Follows orders, on one socket at a time, until each has its final event. When a socket closes, with any code,
    another one resumes after the last `seq`; every event must come once, in order.

    `address` is called for each connection.
    """

    address: Callable[[], str]
    events: dict[str, list[Event]] = field(default_factory=dict)
    closes: list[int | None] = field(default_factory=list)
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    on: str = ""
    """The address that the socket is connected to."""
    _socket: RawClient | None = None
    _new: asyncio.Event = field(default_factory=asyncio.Event)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _leaving: bool = False

    def also(self, order_ids: Iterable[str]) -> "Watch":
        """Follow these as well, from their first event on."""
        self.events |= {order_id: [] for order_id in order_ids}
        self._new.set()
        self._more.set()
        return self

    @property
    def unfinished(self) -> list[str]:
        return [order_id for order_id, events in self.events.items() if not events or not events[-1]["final"]]

    async def run(self) -> "Watch":
        """Until all are finished."""
        while self.unfinished:
            try:
                await self._one_socket()
            except OSError:  # nobody listens there now; the processes come back
                await asyncio.sleep(0.02)
        return self

    async def follow(self) -> None:
        """Until `leave` was called and all are finished: more may be added when all before them have ended."""
        while self.unfinished or not self._leaving:
            # Before the look at them, so that what is added from here on is not missed.
            self._more.clear()
            await self.run()
            if not self.unfinished and not self._leaving:
                await self._more.wait()

    def leave(self) -> None:
        """No more are added."""
        self._leaving = True
        self._more.set()

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
        """Follow on one socket while it lasts; OSError when there is no handshake."""
        self.on = self.address()
        port = urlsplit(self.on).port
        assert port is not None
        async with RawClient.connect(port, patience=None, handshake_seconds=HANDSHAKE_SECONDS, buffer=None) as socket:
            asking = asyncio.create_task(self._ask_for_all(socket))
            self._socket = socket
            try:
                await self._hear(socket)
            finally:
                self._socket = None
                asking.cancel()
                await asyncio.wait([asking])
                if not asking.cancelled():
                    asking.result()

    async def _ask_for_all(self, socket: RawClient) -> None:
        """Subscribe to what is not finished, and to what is added while the socket lasts."""
        asked: set[str] = set()
        while True:
            self._new.clear()
            for order_id in [order_id for order_id in self.unfinished if order_id not in asked]:
                asked.add(order_id)
                message = {"orderId": order_id, "afterSeq": len(self.events[order_id])}
                with suppress(OSError):  # the next socket does it
                    await socket.send(RawClient.TEXT, json.dumps(message).encode())
            await self._new.wait()

    async def _hear(self, socket: RawClient) -> None:
        while self.unfinished:
            try:
                frame = await socket.frame()
                if frame is not None and frame[0] == RawClient.PING:
                    await socket.send(RawClient.PONG, frame[1])
            except OSError:
                frame = None
            match frame:
                case (RawClient.TEXT, payload):
                    self._take(json.loads(payload))
                case None | (RawClient.CLOSE, _):
                    self.closes.append(struct.unpack("!H", frame[1][:2])[0] if frame and frame[1] else None)
                    self.grew.set()
                    return

    def _take(self, event: Event) -> None:
        error = event.get("error")
        if isinstance(error, dict) and error["code"] == "unavailable":
            return  # the subscription stands
        check_message(event)
        events = self.events[str(event["orderId"])]
        assert event["seq"] == len(events) + 1, (event, events)
        events.append(event)
        self.grew.set()


@asynccontextmanager
async def watching(address: Callable[[], str], order_ids: Iterable[str]) -> AsyncIterator[Watch]:
    """Follow orders beside the block, and at its end until all are finished."""
    watch = Watch(address).also(order_ids)
    task = asyncio.create_task(watch.follow())
    try:
        yield watch
        watch.leave()
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])
        # Otherwise only a time-out would show that nothing was followed any more.
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
