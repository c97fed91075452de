"""The demo against servers that misbehave in one way each: it must succeed, or report the error.

Each server is a few lines of Tornado that follow the service's protocol except in that one way.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import PathMatches, Rule
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from dexexec.api.app import EXECUTE, WebSocketUpgrade
from dexexec.demo import run
from dexexec.demo.order import DemoOrder, Summary, plan
from dexexec.demo.view import PlainView
from dexexec.errors import UnreachableError
from tests.support.ports import free_port
from tests.support.waiting import until

LIFE = ("pending", "routing", "building", "submitted", "confirmed")
BUSY = {"title": "Too many orders are waiting", "status": 503, "detail": "full", "retryAfterMs": 10}


@dataclass
class Misbehaviour:
    """How a server departs from the protocol, and what it saw."""

    missing: list[str] = field(default_factory=list)
    busy: int = 0
    """POSTs that are answered 503 before the first is accepted."""
    refuse: dict[str, object] | None = None
    cut_post: int = 0
    """POSTs whose answer is lost: the order is accepted, and the connection cut."""
    drop_after: int | None = None
    """The first socket of each order is closed after this `seq`."""
    leave_out: int | None = None
    twice: int | None = None
    stop_after: int | None = None
    say_instead: object = None
    differ: bool = False
    """The record has another last event."""
    handshake: int | None = None

    bodies: dict[str, object] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, object]] = field(default_factory=list)
    sockets: int = 0
    dropped: set[object] = field(default_factory=set)

    def events(self, order_id: object) -> list[dict[str, object]]:
        return [
            {"orderId": order_id, "seq": n, "status": status, "at": "t", "final": n == 5, "venue": "v"}
            for n, status in enumerate(LIFE, 1)
        ]


class Ours(RequestHandler):
    def initialize(self, way: Misbehaviour) -> None:
        self.way = way


class Ready(Ours):
    def get(self) -> None:
        self.set_status(503 if self.way.missing else 200)
        self.write({"missing": self.way.missing})


class Record(Ours):
    def get(self, order_id: str) -> None:
        events = self.way.events(order_id)
        if self.way.differ:
            events[-1]["venue"] = "another"
        self.write({"orderId": order_id, "status": "confirmed", "events": events})


class Post(Ours):
    def post(self) -> None:
        way = self.way
        if way.refuse:
            self.set_status(422)
            self.write(way.refuse)
            return
        if way.busy:
            way.busy -= 1
            self.set_status(503)
            self.write(BUSY)
            return
        key = self.request.headers["Idempotency-Key"]
        order_id = way.orders.setdefault(key, str(uuid4()))
        way.bodies[order_id] = json.loads(self.request.body)
        if way.cut_post:
            way.cut_post -= 1
            self.detach().close()
            return
        self.set_status(202)
        self.write({"orderId": order_id})


class Socket(WebSocketHandler):
    def initialize(self, way: Misbehaviour) -> None:
        self.way = way

    def prepare(self) -> None:
        if self.way.handshake:
            self.set_status(self.way.handshake)
            self.finish()

    def open(self, *_: str, **__: str) -> None:
        self.way.sockets += 1

    def on_message(self, message: str | bytes) -> None:
        way = self.way
        asked = json.loads(message)
        way.asked.append(asked)
        if way.say_instead is not None:
            self.write_message(json.dumps(way.say_instead))
            return
        for event in way.events(asked["orderId"])[asked.get("afterSeq", 0) :]:
            if event["seq"] != way.leave_out:
                self.write_message(json.dumps(event))
            if event["seq"] == way.twice:
                self.write_message(json.dumps(event))
            if event["seq"] == way.drop_after and asked["orderId"] not in way.dropped:
                way.dropped.add(asked["orderId"])
                self.close(1001, "going away")
                return
            if event["seq"] == way.stop_after:
                return


@asynccontextmanager
async def serving(way: Misbehaviour, port: int = 0) -> AsyncIterator[str]:
    rules = [
        Rule(WebSocketUpgrade(EXECUTE), Socket, {"way": way}),
        Rule(PathMatches(EXECUTE), Post, {"way": way}),
        Rule(PathMatches("/readyz"), Ready, {"way": way}),
        Rule(PathMatches("/api/orders/([^/]+)"), Record, {"way": way}),
    ]
    server = HTTPServer(Application(rules))
    listening = bind_sockets(port, "127.0.0.1")
    server.add_sockets(listening)
    try:
        yield f"http://127.0.0.1:{listening[0].getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()


async def watch(url: str, count: int = 2, limit: float = 20.0) -> tuple[Summary, list[DemoOrder], str]:
    """Run the demo as into a file: the summary, the orders, and what was written on the way."""
    out = io.StringIO()
    now = asyncio.get_running_loop().time
    orders = plan(count, (str(uuid4()) for _ in range(count)))
    found = await run.run(url, orders, limit, PlainView(out, now), now)
    return found, orders, out.getvalue()


def fault(found: Summary) -> str:
    """The one fault of a run, which befell all orders alike."""
    (text,) = found.faults
    assert len(found.faults[text]) == found.orders
    assert found.exit_code == 1
    return text


async def test_orders_are_posted_and_each_is_followed_on_one_socket_of_its_own() -> None:
    way = Misbehaviour()
    async with serving(way) as url:
        found, orders, text = await watch(url, 60)
    assert (found.exit_code, found.faults) == (0, {})
    assert found.statuses == {"confirmed": 60}
    assert (found.events, found.sockets, found.reconnects, way.sockets) == (300, 60, 0, 60)
    assert way.bodies == {order.order_id: {"side": order.side, "amount": order.amount} for order in orders}
    lines = text.splitlines()
    assert len(lines) == 60 * 6, "one line when accepted, one per event"
    assert sum(line.split()[-2:] == ["confirmed", "v"] for line in lines) == 60


async def test_a_dropped_socket_is_resumed_after_the_last_seq_and_reported_once() -> None:
    way = Misbehaviour(drop_after=3)
    async with serving(way) as url:
        found, orders, text = await watch(url, 10)
    assert found.exit_code == 0
    assert (found.sockets, found.reconnects, way.sockets) == (10, 10, 20)
    for order in orders:
        ours = [asked for asked in way.asked if asked["orderId"] == order.order_id]
        assert ours == [{"orderId": order.order_id}, {"orderId": order.order_id, "afterSeq": 3}]
        assert order.seqs == [1, 2, 3, 4, 5]
    assert text.count("connection lost (closed with 1001, going away): reconnecting with afterSeq") == 1
    assert text.count("all sockets are connected again") == 1


async def test_a_server_that_is_gone_for_a_while_is_waited_for() -> None:
    way = Misbehaviour(drop_after=2)
    async with serving(way) as url:
        watching = asyncio.create_task(watch(url, 1))
        await until(lambda: bool(way.dropped))
    way.asked.clear()
    async with serving(way, int(url.rpartition(":")[2])):
        found, orders, text = await watching
    assert found.exit_code == 0
    assert way.asked == [{"orderId": orders[0].order_id, "afterSeq": 2}]
    assert "reconnecting with afterSeq" in text


async def test_a_gap_is_a_fault() -> None:
    async with serving(Misbehaviour(leave_out=3)) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "event 3 is missing"
    assert found.statuses == {"confirmed": 2}


async def test_an_event_that_comes_twice_is_a_fault() -> None:
    async with serving(Misbehaviour(twice=2)) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "event 2 came twice"


async def test_an_event_that_comes_after_the_final_one_is_a_fault() -> None:
    async with serving(Misbehaviour(twice=5)) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "event 5 came twice"


async def test_a_socket_that_hears_otherwise_than_the_record_is_a_fault() -> None:
    async with serving(Misbehaviour(differ=True)) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "event 5 differs from its record"


async def test_an_order_that_does_not_end_in_time_is_a_fault() -> None:
    async with serving(Misbehaviour(stop_after=4)) as url:
        found, _, text = await watch(url, limit=2.0)
    assert fault(found) == "has not ended: the last status on its socket was submitted"
    assert "time limit: 2 of 2 orders have not ended after 2 s (see --timeout)" in text


async def test_a_busy_server_is_retried_after_its_retry_after() -> None:
    way = Misbehaviour(busy=3)
    async with serving(way) as url:
        found, _, text = await watch(url, 1)
    assert found.exit_code == 0
    assert text.count("503 Too many orders are waiting: full; again in 0.0 s") == 3
    assert len(way.orders) == 1


async def test_a_server_that_stays_busy_is_given_up_after_a_number_of_tries() -> None:
    way = Misbehaviour(busy=1_000)
    async with serving(way) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "503 Too many orders are waiting: full, 15 times"
    assert way.busy == 1_000 - 2 * 15


async def test_a_refused_order_is_not_sent_again_and_the_fields_are_named() -> None:
    errors = [{"field": "amount", "problem": "has more decimals than X", "expected": "fewer"}]
    way = Misbehaviour(refuse={"title": "The order has invalid fields", "status": 422, "errors": errors})
    async with serving(way) as url:
        found, _, text = await watch(url, 1)
    assert fault(found) == "422 The order has invalid fields: amount has more decimals than X, expected fewer"
    assert text.count("given up") == 1


async def test_an_order_whose_answer_was_lost_is_sent_again_under_the_same_key() -> None:
    way = Misbehaviour(cut_post=2)
    async with serving(way) as url:
        found, orders, _ = await watch(url)
    assert found.exit_code == 0
    assert way.orders == {order.key: order.order_id for order in orders}


async def test_a_server_that_is_not_ready_is_used_and_reported() -> None:
    async with serving(Misbehaviour(missing=["worker"])) as url:
        found, _, text = await watch(url)
    assert found.exit_code == 0
    assert text.startswith("the server is not ready (worker missing), so orders may have to wait\n")


async def test_a_message_that_is_no_event_ends_the_order_as_a_fault() -> None:
    async with serving(Misbehaviour(say_instead=["?"])) as url:
        found, _, _ = await watch(url, 1)
    assert 'its socket received a message that is not one of its events: ["?"]' in found.faults
    assert found.exit_code == 1


async def test_an_error_message_ends_the_order_as_a_fault() -> None:
    error = {"error": {"code": "order-not-found", "message": "there is no such order"}}
    async with serving(Misbehaviour(say_instead=error)) as url:
        found, _, _ = await watch(url, 1)
    assert "its socket received the error order-not-found: there is no such order" in found.faults


async def test_a_refused_handshake_is_not_tried_again() -> None:
    way = Misbehaviour(handshake=403)
    async with serving(way) as url:
        found, _, _ = await watch(url, 1)
    assert "its socket was refused: HTTP 403 Forbidden" in found.faults
    assert way.sockets == 0


async def test_a_missing_server_is_one_line_with_the_remedy() -> None:
    with pytest.raises(UnreachableError, match="Start the service with python -m dexexec") as caught:
        await watch(f"http://127.0.0.1:{free_port()}")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


async def test_another_server_is_recognised() -> None:
    async with serving(Misbehaviour()) as url:
        with pytest.raises(UnreachableError, match=r"is not dexexec \(HTTP 404 for /readyz\)"):
            await watch(f"{url}/elsewhere")
