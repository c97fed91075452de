"""Reads everything that a service answers from its record: each GET route of its own OpenAPI document, and the events
over server-sent events and the WebSocket. A route that is new is read as well."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.answer_checks import check_message
from tests.support.event_source import event_source
from tests.support.raw_http import exchange
from tests.support.raw_websocket import RawClient

NOT_RECORDED = {
    "/readyz": "whether this process can serve",
    "/metrics": "what this process has counted",
    "/api/quote": "prices of this moment",
    "/api/venues": "how venues answer this process",
}
"""Routes whose answers are not of the record, and what they are."""
PERIOD = frozenset({"since", "until"})
OF_THE_MOMENT = {"/api/overview": frozenset({"workers"}), "/api/stats": PERIOD, "/api/costs": PERIOD}
"""Members of answers that show the moment or the process."""
QUERIES = {
    "/api/orders": (
        *("", "limit=2", "totals=true", "status=confirmed", "status=waiting&type=limit", "dryRun=true", "tag=desk"),
        *("pair=SOL/USDC&fields=limitPrice,tag", "reason=deadline", "venue=mock-raydium&limit=100"),
    ),
    "/api/costs": ("", "groupBy=venue", "groupBy=day,tag"),
    "/api/stats": ("", "minutes=60"),
    "/api/webhooks/{id}/deliveries": ("", "state=delivered", "limit=3"),
    "/api/orders/{id}/events": ("", "afterSeq=1"),
}
"""Queries that are tried beside those that a route's parameters make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a record has, as the caller with `token` may see it. `lengths` is the number of events of each order, and
    `last` the newest event in the stream of all orders; `position` is somewhere in that stream."""

    token: str
    lengths: Mapping[str, int]
    webhooks: tuple[str, ...]
    position: str
    last: tuple[str, int]

    @property
    def headers(self) -> dict[str, str]:
        """The key, as a header."""
        return {"Authorization": f"Bearer {self.token}"}


async def read_record(url: str, of: Recorded) -> dict[str, object]:
    """The answers, each under its request."""
    document: Any = json.loads((await exchange(f"{url}/openapi.json", headers=of.headers)).body)
    found: dict[str, object] = {}
    for path, operations in document["paths"].items():
        if "get" not in operations or path in NOT_RECORDED:
            continue
        is_stream = "text/event-stream" in operations["get"]["responses"]["200"]["content"]
        for target in _targets(path, operations["get"], of):
            found[target] = await (_stream if is_stream else _answer)(url, target, of)
    found["socket"] = await _orders_on_a_socket(url, of)
    found["socket of all orders"] = await _all_on_a_socket(url, of)
    return found


def difference(one: object, other: object, place: str = "") -> str:
    """Where two answers differ first; empty if they are the same."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        found = (difference(one[name], other[name], f"{place}.{name}") for name in one)
        return next(filter(None, found), "")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = (difference(each, other[n], f"{place}[{n}]") for n, each in enumerate(one))
        return next(filter(None, found), "")
    return "" if one == other else f"{place}: {one!r} != {other!r}"


def _targets(path: str, operation: Any, of: Recorded) -> Iterator[str]:
    """The requests of a route: for each thing that its path may name, without a query and with some."""
    needed = {each["name"] for each in operation.get("parameters", ()) if each.get("required")} - {"id", "code"}
    assert not needed, f"{path} needs {needed}: give it queries, or a reason in NOT_RECORDED"
    names: tuple[str, ...] = ("",)
    if "{id}" in path:
        things = {"orders": tuple(of.lengths), "webhooks": of.webhooks}
        names = things[path.split("/")[2]]  # fails for a new kind of things: it needs its ids here
    queries = QUERIES.get(path, ("",))
    if path == "/api/events":
        queries = ("after=start", f"after={of.position}")
    for name in names:
        for query in queries:
            filled = path.replace("{id}", name).replace("{code}", "invalid-order")
            yield f"{filled}?{query}" if query else filled


async def _answer(url: str, target: str, of: Recorded) -> object:
    """An answer; of a list, with the pages that follow it."""
    moment = OF_THE_MOMENT.get(target.partition("?")[0], frozenset[str]())
    pages: list[object] = []
    after: str | None = target
    while after:
        answer = await exchange(f"{url}{after}", headers=of.headers)
        kind = answer.headers.get("Content-Type", "")
        body: Any = json.loads(answer.body) if "json" in kind else answer.body
        if isinstance(body, dict):
            body = {name: value for name, value in body.items() if name not in {*moment, "instance"}}
        tag = None if moment else answer.headers.get("ETag")
        after = _next_page(answer.headers.get("Link"))
        pages.append([answer.status, kind, tag, after, body])
    return pages


def _next_page(link: str | None) -> str | None:
    """The path of the next page in a header `Link`."""
    return link.partition("<")[2].partition(">")[0] if link else None


async def _stream(url: str, target: str, of: Recorded) -> object:
    """The blocks of a stream, up to the last event that the record has."""
    port = urlsplit(url).port
    assert port is not None
    order = target.split("/")[3] if target.startswith("/api/orders/") else None
    blocks: list[object] = []
    async with event_source(port, target, **of.headers) as source:
        if source.status != 200:
            return [source.status]
        end = (order, of.lengths[order]) if order else of.last
        while (block := await source.next()) is not None:
            if block.event == "notice":  # that a key is halted now
                continue
            blocks.append([block.event, block.id, block.message])
            if (block.message.get("orderId"), block.message.get("seq")) == end:
                break
    return blocks


@asynccontextmanager
async def _socket(url: str, of: Recorded) -> AsyncIterator[RawClient]:
    """A socket that has shown its key."""
    port = urlsplit(url).port
    assert port is not None
    async with RawClient.connect(port, buffer=None) as client:
        await _say(client, {"type": "auth", "token": of.token})
        assert "authenticated" in await _hear(client)
        yield client


async def _say(client: RawClient, message: object) -> None:
    await client.send(RawClient.TEXT, json.dumps(message).encode())


async def _hear(client: RawClient) -> dict[str, Any]:
    """The next message."""
    while True:
        frame = await client.frame()
        assert frame is not None, "the socket ended"
        if frame[0] == RawClient.TEXT:
            message = json.loads(frame[1])
            assert isinstance(message, dict)
            check_message(message)
            if "notice" not in message:
                return message
        else:
            assert frame[0] == RawClient.PING, frame


async def _orders_on_a_socket(url: str, of: Recorded) -> object:
    """The events of each order, all on one socket. An order that the key may not see has an error."""
    found: dict[str, list[object]] = {order: [] for order in of.lengths}
    async with _socket(url, of) as client:
        for order in of.lengths:
            await _say(client, {"orderId": order, "afterSeq": 0})
        waiting = set(found)
        while waiting:
            message = await _hear(client)
            order = message.get("orderId") or message["error"]["orderId"]
            found[order].append(message)
            if "error" in message or len(found[order]) == of.lengths[order]:
                waiting.discard(order)
    return found


async def _all_on_a_socket(url: str, of: Recorded) -> object:
    """The events of all orders behind the position. Positions between them may be anywhere: they follow each batch."""
    found: list[object] = []
    async with _socket(url, of) as client:
        await _say(client, {"events": "all", "after": of.position})
        while True:
            message = await _hear(client)
            if "seq" in message:
                found.append(message)
                if (message["orderId"], message["seq"]) == of.last:
                    return found
            assert "error" not in message, message
