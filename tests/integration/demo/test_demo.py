"""The demo against servers that misbehave in one way each: it must succeed, or report the error.

Each server is a few lines of Tornado that follow the service's protocol except in that one way.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import uuid4

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import PathMatches, Rule
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from dexexec.api.app import EXECUTE, WebSocketUpgrade
from dexexec.demo import run
from dexexec.demo.kinds import Kind
from dexexec.demo.order import DemoOrder, Summary, plan
from dexexec.demo.view import PlainView
from dexexec.errors import UnreachableError
from tests.support.ports import free_port
from tests.support.waiting import until

AT = "2026-01-31T12:00:00.123Z"
RECORD = {
    "type": "market", "side": "buy", "amount": "0.01", "mode": "exactIn", "inputMint": "a", "outputMint": "b", "seq": 5,
    "createdAt": AT,
}  # fmt: skip
LIFE = ("pending", "routing", "building", "submitted", "confirmed")
BUSY = {"title": "Too many orders are waiting", "status": 503, "detail": "full", "retryAfterMs": 10}


@dataclass(kw_only=True)
class ServerBehaviour:
    """How a server deviates from the protocol, and the requests that it received."""

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
    reply_instead: object = None
    differ: bool = False
    """The record has another last event."""
    handshake: int | None = None
    price: str | None = "150"
    """What every venue quotes; None: no quote."""

    bodies: dict[str, object] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    subscriptions: list[dict[str, object]] = field(default_factory=list)
    sockets: int = 0
    dropped: set[object] = field(default_factory=set)

    def events(self, order_id: object) -> list[dict[str, object]]:
        return [
            {"orderId": order_id, "seq": n, "status": status, "at": AT, "final": n == 5, "venue": "v"}
            for n, status in enumerate(LIFE, 1)
        ]


class BehaviourHandler(RequestHandler):
    def initialize(self, behaviour: ServerBehaviour) -> None:
        self.behaviour = behaviour


class Ready(BehaviourHandler):
    def get(self) -> None:
        self.set_status(503 if self.behaviour.missing else 200)
        self.write({"missing": self.behaviour.missing})


class Record(BehaviourHandler):
    def get(self, order_id: str) -> None:
        events = self.behaviour.events(order_id)
        if self.behaviour.differ:
            events[-1]["venue"] = "another"
        self.write({**RECORD, "orderId": order_id, "status": "confirmed", "events": events})


class Quote(BehaviourHandler):
    def get(self) -> None:
        price = self.behaviour.price
        quote = {"detail": "no pool"} if price is None else {"price": price, "amountOut": "100", "net": "100"}
        venue = {"venue": "v", **quote}
        amounts = self.get_argument("amount").split(",")
        self.write({"quotes": [{"amount": amount, "amountBase": "100", "venues": [venue]} for amount in amounts]})


class Post(BehaviourHandler):
    def post(self) -> None:
        behaviour = self.behaviour
        if behaviour.refuse:
            self.set_status(422)
            self.write(behaviour.refuse)
            return
        if behaviour.busy:
            behaviour.busy -= 1
            self.set_status(503)
            self.write(BUSY)
            return
        key = self.request.headers["Idempotency-Key"]
        order_id = behaviour.orders.setdefault(key, str(uuid4()))
        behaviour.bodies[order_id] = json.loads(self.request.body)
        if behaviour.cut_post:
            behaviour.cut_post -= 1
            self.detach().close()
            return
        self.set_status(202)
        self.write({"orderId": order_id})


class Socket(WebSocketHandler):
    def initialize(self, behaviour: ServerBehaviour) -> None:
        self.behaviour = behaviour

    def prepare(self) -> None:
        if self.behaviour.handshake:
            self.set_status(self.behaviour.handshake)
            self.finish()

    def open(self, *_: str, **__: str) -> None:
        self.behaviour.sockets += 1

    def on_message(self, message: str | bytes) -> None:
        behaviour = self.behaviour
        subscription = json.loads(message)
        behaviour.subscriptions.append(subscription)
        if behaviour.reply_instead is not None:
            self.write_message(json.dumps(behaviour.reply_instead))
            return
        for event in behaviour.events(subscription["orderId"])[subscription.get("afterSeq", 0) :]:
            if event["seq"] != behaviour.leave_out:
                self.write_message(json.dumps(event))
            if event["seq"] == behaviour.twice:
                self.write_message(json.dumps(event))
            if event["seq"] == behaviour.drop_after and subscription["orderId"] not in behaviour.dropped:
                behaviour.dropped.add(subscription["orderId"])
                self.close(1001, "going away")
                return
            if event["seq"] == behaviour.stop_after:
                return


@asynccontextmanager
async def serving(behaviour: ServerBehaviour, port: int = 0) -> AsyncIterator[str]:
    rules = [
        Rule(WebSocketUpgrade(EXECUTE), Socket, {"behaviour": behaviour}),
        Rule(PathMatches(EXECUTE), Post, {"behaviour": behaviour}),
        Rule(PathMatches("/api/quote"), Quote, {"behaviour": behaviour}),
        Rule(PathMatches("/readyz"), Ready, {"behaviour": behaviour}),
        Rule(PathMatches("/api/orders/([^/]+)"), Record, {"behaviour": behaviour}),
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
    behaviour = ServerBehaviour()
    async with serving(behaviour) as url:
        found, orders, text = await watch(url, 60)
    assert (found.exit_code, found.faults) == (0, {})
    assert found.statuses == {"confirmed": 60}
    assert (found.events, found.sockets, found.reconnects, behaviour.sockets) == (300, 60, 0, 60)
    assert behaviour.bodies == {order.order_id: {"side": order.side, "amount": order.amount} for order in orders}
    lines = text.splitlines()
    assert len(lines) == 60 * 6, "one line when accepted, one per event"
    assert sum(line.split()[-2:] == ["confirmed", "v"] for line in lines) == 60


async def test_a_dropped_socket_is_resumed_after_the_last_seq_and_reported_once() -> None:
    behaviour = ServerBehaviour(drop_after=3)
    async with serving(behaviour) as url:
        found, orders, text = await watch(url, 10)
    assert found.exit_code == 0
    assert (found.sockets, found.reconnects, behaviour.sockets) == (10, 10, 20)
    for order in orders:
        subscriptions = [
            subscription for subscription in behaviour.subscriptions if subscription["orderId"] == order.order_id
        ]
        assert subscriptions == [{"orderId": order.order_id}, {"orderId": order.order_id, "afterSeq": 3}]
        assert order.seqs == [1, 2, 3, 4, 5]
    assert text.count("connection lost (closed with 1001, going away): reconnecting with afterSeq") == 1
    assert text.count("all sockets are connected again") == 1


async def test_the_demo_waits_for_a_server_that_is_unreachable_for_a_while() -> None:
    behaviour = ServerBehaviour(drop_after=2)
    async with serving(behaviour) as url:
        watching = asyncio.create_task(watch(url, 1))
        await until(lambda: bool(behaviour.dropped))
    behaviour.subscriptions.clear()
    async with serving(behaviour, int(url.rpartition(":")[2])):
        found, orders, text = await watching
    assert found.exit_code == 0
    assert behaviour.subscriptions == [{"orderId": orders[0].order_id, "afterSeq": 2}]
    assert "reconnecting with afterSeq" in text


async def test_a_gap_is_a_fault() -> None:
    async with serving(ServerBehaviour(leave_out=3)) as url:
        found, _, _ = await watch(url)
    assert len(found.faults["event 3 is missing"]) == 2
    assert len(found.faults["the stream is broken: event 3 of the order is missing, 5 times in a row"]) == 2


async def test_an_event_that_comes_twice_is_a_fault() -> None:
    async with serving(ServerBehaviour(twice=2)) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "event 2 came twice"


async def test_an_event_that_comes_after_the_final_one_is_a_fault() -> None:
    async with serving(ServerBehaviour(twice=5)) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "event 5 came twice"


async def test_a_socket_that_hears_otherwise_than_the_record_is_a_fault() -> None:
    async with serving(ServerBehaviour(differ=True)) as url:
        found, _, _ = await watch(url)
    assert fault(found) == "event 5 differs from its record"


async def test_an_order_that_does_not_end_in_time_is_a_fault() -> None:
    async with serving(ServerBehaviour(stop_after=4)) as url:
        found, _, text = await watch(url, limit=2.0)
    assert fault(found) == "has not ended: the last status on its socket was submitted"
    assert "time limit: 2 of 2 orders have not ended after 2 s (see --timeout)" in text


async def test_a_busy_server_is_retried_after_its_retry_after() -> None:
    behaviour = ServerBehaviour(busy=3)
    async with serving(behaviour) as url:
        found, _, text = await watch(url, 1)
    assert found.exit_code == 0
    assert text.count("503 Too many orders are waiting: full; again in ") == 3
    assert len(behaviour.orders) == 1


async def test_a_server_that_stays_busy_is_given_up_in_time() -> None:
    behaviour = ServerBehaviour(busy=100_000)
    async with serving(behaviour) as url:
        found, orders, text = await watch(url, limit=4.0)
    assert found.exit_code == 1
    # The last try may be cut off by the time limit, and is an order without an answer then.
    assert all(order.given_up and not order.order_id for order in orders)
    assert "503 Too many orders are waiting: full; again in " in text


async def test_a_refused_order_is_not_sent_again_and_the_fields_are_named() -> None:
    errors = [{"field": "amount", "problem": "has more decimals than X", "expected": "fewer"}]
    behaviour = ServerBehaviour(refuse={"title": "The order has invalid fields", "status": 422, "errors": errors})
    async with serving(behaviour) as url:
        found, _, text = await watch(url, 1)
    assert fault(found) == "422 The order has invalid fields: amount has more decimals than X, expected fewer"
    assert text.count("given up") == 1


async def test_an_order_whose_answer_was_lost_is_sent_again_under_the_same_key() -> None:
    behaviour = ServerBehaviour(cut_post=2)
    async with serving(behaviour) as url:
        found, orders, _ = await watch(url)
    assert found.exit_code == 0
    assert behaviour.orders == {order.key: order.order_id for order in orders}


async def test_a_server_that_is_not_ready_is_used_and_reported() -> None:
    async with serving(ServerBehaviour(missing=["worker"])) as url:
        found, _, text = await watch(url)
    assert found.exit_code == 0
    assert text.startswith("the server is not ready (worker missing), so orders may have to wait\n")


async def test_a_message_that_is_not_an_event_is_a_fault_of_the_order() -> None:
    async with serving(ServerBehaviour(reply_instead=["?"])) as url:
        found, _, _ = await watch(url, 1)
    assert 'its socket received a message that is not one of its events: ["?"]' in found.faults
    assert found.exit_code == 1


async def test_an_error_message_ends_the_order_as_a_fault() -> None:
    error = {"error": {"code": "order-not-found", "message": "there is no such order"}}
    async with serving(ServerBehaviour(reply_instead=error)) as url:
        found, _, _ = await watch(url, 1)
    assert "its socket received the error order-not-found: there is no such order" in found.faults


async def test_a_refused_handshake_is_not_tried_again() -> None:
    behaviour = ServerBehaviour(handshake=403)
    async with serving(behaviour) as url:
        found, _, _ = await watch(url, 1)
    assert "its socket was refused: 403 forbidden" in found.faults
    assert behaviour.sockets == 0


async def test_a_missing_server_is_one_line_with_the_remedy() -> None:
    with pytest.raises(UnreachableError, match="Start the service with python -m dexexec") as caught:
        await watch(f"http://127.0.0.1:{free_port()}")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


async def test_another_server_is_recognised() -> None:
    async with serving(ServerBehaviour()) as url:
        with pytest.raises(UnreachableError, match=r"is not dexexec \(HTTP 404 for /readyz\)"):
            await watch(f"{url}/elsewhere")


async def test_orders_that_rest_are_planned_by_the_prices_that_the_server_quotes() -> None:
    async with serving(ServerBehaviour(price="200")) as url:
        orders = await run.plan_orders(url, Kind.LIMIT, 8, limit=60, dry_run=True)
    assert len(orders) == 8
    for order in orders:
        assert abs(Decimal(str(order.fields["limitPrice"])) / 200 - 1) <= Decimal("0.05")
        assert order.fields["dryRun"] is True


async def test_without_a_price_no_order_that_rests_is_posted() -> None:
    behaviour = ServerBehaviour(price=None)
    async with serving(behaviour) as url:
        with pytest.raises(UnreachableError, match=r"no venue quotes a price to buy 0.01 \(no pool\)"):
            await run.plan_orders(url, Kind.STOP, 4, limit=60, dry_run=False)
        assert len(await run.plan_orders(url, Kind.MARKET, 4, limit=60, dry_run=False)) == 4
    assert behaviour.bodies == {}
