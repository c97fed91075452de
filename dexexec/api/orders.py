"""Orders over HTTP: post one, read one with its events, cancel or explain it, list or cancel many."""

import asyncio
import os
import re
from dataclasses import replace
from hashlib import blake2b
from urllib.parse import urlencode
from uuid import UUID

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from dexexec.api.caller import Caller
from dexexec.api.cancel_selection import query_values, read_selection
from dexexec.api.client_address import client_address
from dexexec.api.compression import SUFFIX
from dexexec.api.explanation import explain
from dexexec.api.front_page import EXECUTE
from dexexec.api.handler import JSON, Api, ApiHandler, encode
from dexexec.api.list_query import KEY, encode_cursor, only, read_fields, read_list_query
from dexexec.api.problems import MethodNotAllowedError
from dexexec.domain.api_key import Scope, owned_name
from dexexec.domain.cancellation import CancelledAll, TooLate
from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import OrderTotals
from dexexec.domain.status import Status
from dexexec.domain.uuid7 import RANDOM_BYTES, uuid7
from dexexec.errors import (
    FieldProblem,
    InvalidIdempotencyKeyError,
    InvalidIfMatchError,
    InvalidQueryError,
    OrderNotFoundError,
    PreconditionRequiredError,
    RequestError,
    TooLateError,
    UnavailableError,
)
from dexexec.intake.order_body import require_json
from dexexec.observe.tracing import NO_TRACER, RequestSpan
from dexexec.store import Created, Cursor

NO_ORDER = "the path names no order: it takes the orderId that posting one answered"

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ETAG = r'"([0-9]{1,9})(-[0-9a-f]{12}(-gzip)?)?"'
_ETAG = re.compile(ETAG)
_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")


class ExecuteHandler(ApiHandler):
    """`POST /api/orders/execute`. The WebSocket's handshake, a GET on the same path, has another handler."""

    _accepting: "asyncio.Task[object] | None" = None
    _span: RequestSpan = NO_TRACER
    _order_id = ""

    def initialize(self, api: Api) -> None:
        """Called by Tornado when the body has been read: the order's deadline counts from now."""
        super().initialize(api)
        self._read_at = api.clock.monotonic()
        self._gone = asyncio.Event()

    def check(self) -> None:
        """Refuse before the body is parsed if any order would be refused. A GET that reaches this method lacks the
        headers of a WebSocket handshake."""
        if self.request.method == "GET":
            raise MethodNotAllowedError("POST an order here; GET is the WebSocket's handshake (Upgrade: websocket)")
        if self.request.method == "POST":
            self.api.intake.check_capacity()

    async def post(self) -> None:
        """202 with the order's id, once the order is committed. `Idempotent-Replayed: true` if it was committed
        earlier."""
        self._span = self.api.observer.tracer.request(f"POST {EXECUTE}", self.request.headers.get("traceparent"))
        try:
            order = read_order(self.api, self.request, self.request_id, self.caller)
        except RequestError:
            turn = self.api.refusals.turn(client_address(self.request, self.api.settings))
            if turn is not None:
                await turn
            raise
        if self._span.traceparent is not None:
            order = replace(order, traceparent=self._span.traceparent)
        created = await self._accept(order)
        if created is None:
            self.client_gone()
            return
        self._order_id = str(created.order_id)
        self.api.observer.order_accepted(created.order_id, self.request_id, replayed=created.replayed)
        self.set_header("Location", f"/api/orders/{created.order_id}")
        if created.replayed:
            self.set_header("Idempotent-Replayed", "true")
        # Not of a replayed order: the setting may have changed since that was stored.
        dry_run = {"dryRun": True} if order.dry_run and not created.replayed else {}
        self.answer({"orderId": str(created.order_id), **dry_run}, status=202)

    def on_finish(self) -> None:
        """Called by Tornado after the answer."""
        self._span.end(self.get_status(), self._order_id)

    async def _accept(self, order: NewOrder) -> Created | None:
        """The order's id; None if the client has gone before it could be answered."""
        if self._gone.is_set():
            return None
        self._accepting = asyncio.current_task()
        try:
            return await self.api.intake.accept(order, self._read_at, self.caller.policy)
        except asyncio.CancelledError:
            if not self._gone.is_set():
                raise
            return None
        finally:
            self._accepting = None

    def on_connection_close(self) -> None:
        """Called by Tornado when the client has gone: its order is dropped, unless it is being stored already."""
        self._gone.set()
        if self._accepting is not None:
            self._accepting.cancel()


class OrderLookup(ApiHandler):
    """Base of handlers whose path names an order."""

    async def find(self, name: str) -> dict[str, object]:
        """The order of a path. Raises `OrderNotFoundError`."""
        order_id = read_order_id(name)
        async with self.reading(self.api.details):
            order = await self.api.history.order(order_id, self.caller.sees)
        if order is None:
            raise OrderNotFoundError(NO_ORDER)
        return order


class OrderHandler(OrderLookup):
    """`GET`, `PATCH` and `DELETE /api/orders/{id}`."""

    _tag = ""

    async def get(self, order_id: str) -> None:
        """The order with its events, quotes and attempts; 304 if the client has exactly this answer."""
        fields = read_fields(self.request.query_arguments)
        order = await self.find(order_id)
        body = encode(only(order, fields))
        # Not the version alone: what the order waits for, and its children, change within a version.
        self._tag = f"{order['seq']}-{blake2b(body, digest_size=6).hexdigest()}"
        self.answer_bytes(body, JSON)

    head = get

    def compute_etag(self) -> str | None:
        """Called by Tornado at the end of a read: the version of the order, and a digest of the answer."""
        suffix = SUFFIX if "Content-Encoding" in self._headers else ""
        return f'"{self._tag}{suffix}"' if self._tag else None

    async def patch(self, order_id: str) -> None:
        """Change the order while it rests: 200 with its new version, which is also the `ETag`."""
        amended_id = read_order_id(order_id)
        require_json(self.request.headers.get("Content-Type"), self.request.headers.get("Content-Encoding"))
        versions = read_if_match(self.request.headers)
        async with self.reading(self.api.cancels):
            answer = await self.api.amending.amend(amended_id, self.request.body, versions, self.caller.sees)
        if answer.repeated:
            self.set_header("Idempotent-Replayed", "true")
        # The next change can be made under it without reading the order again.
        self.set_header("ETag", f'"{answer.seq}"')
        changed = {"status": Status.WAITING, "seq": answer.seq, "changed": dict(answer.changes)}
        self.answer({"orderId": order_id.lower(), **changed})

    async def delete(self, order_id: str) -> None:
        """Cancel the order: 200 once it is `cancelled`, however often this is repeated; 409 once it is too late."""
        cancelled_id = read_order_id(order_id)
        async with self.reading(self.api.cancels):
            try:
                answer = await self.api.cancelling.cancel(cancelled_id, self.caller.sees)
            except UnavailableError as error:
                # The statement may have committed although its answer was lost.
                raise UnavailableError(f"the order may be cancelled: repeat the request ({error})") from error
        if answer is None:
            raise OrderNotFoundError(NO_ORDER)
        if isinstance(answer, TooLate):
            raise too_late(answer)
        if answer.repeated:
            self.set_header("Idempotent-Replayed", "true")
        self.answer({"orderId": order_id.lower(), "status": Status.CANCELLED, "seq": answer.seq})


class SignedHandler(ApiHandler):
    """`POST /api/orders/{id}/signed`."""

    async def post(self, order_id: str) -> None:
        """Take what the client has signed: 200 once the signature is kept, however often this is repeated."""
        signed_id = read_order_id(order_id)
        require_json(self.request.headers.get("Content-Type"), self.request.headers.get("Content-Encoding"))
        # The turn of a cancel: both change one order, and neither may wait behind long reads.
        async with self.reading(self.api.cancels):
            taken = await self.api.signing.sign(signed_id, self.request.body, self.caller.sees)
        if taken.repeated:
            self.set_header("Idempotent-Replayed", "true")
        self.answer({"orderId": order_id.lower(), "attempt": taken.attempt})


class ExplainHandler(OrderLookup):
    """`GET /api/orders/{id}/explain`."""

    async def get(self, order_id: str) -> None:
        """The order's history in sentences with figures, and what to do now."""
        self.answer(explain(await self.find(order_id), self.api.settings.token_list()))

    head = get


class OrdersHandler(ApiHandler):
    """`GET` and `DELETE /api/orders`."""

    async def get(self) -> None:
        """A page of orders, newest first, and the cursor of the next page (null on the last)."""
        query = read_list_query(self.request.query_arguments, self.api.settings.token_list())
        history = self.api.history
        async with self.reading(self.api.lists):
            wanted = replace(query.wanted, owners=await self._owners(query.key))
            # One more than the page has: this shows that there is a next page.
            rows = await history.orders(query.limit + 1, query.before, wanted)
            totals = await history.order_totals(wanted) if query.totals else None
        cursors = [row.pop("_cursor") for row in rows]
        following = None
        if len(rows) > query.limit:
            last = cursors[query.limit - 1]
            assert isinstance(last, Cursor)  # noqa: S101 - what the store promises under this key
            following = encode_cursor(last)
            link = urlencode({**query.given, "limit": query.limit, "cursor": following})
            self.set_header("Link", f'</api/orders?{link}>; rel="next"')
        answer = {"orders": [only(row, query.fields) for row in rows[: query.limit]], "next": following}
        self.answer(answer if totals is None else {**answer, "totals": totals_json(totals)})

    async def _owners(self, key: str | None) -> tuple[int, ...]:
        """Whose orders the list shows; none: everyone's. Raises `ScopeMissingError` and `InvalidQueryError`."""
        if key is None:
            return () if self.caller.sees is None else (self.caller.sees,)
        # Before the name is looked up: another client must not learn which names there are.
        self.caller.require(Scope.ADMIN)
        owners = await self.api.history.owners_named(key)
        if not owners:
            raise InvalidQueryError([FieldProblem(KEY.name, "is not the name of a key", KEY.expected)])
        return tuple(owners)

    head = get

    async def delete(self) -> None:
        """Cancel all orders of a selection: 200 with how many were cancelled, and for how many it is too late."""
        selection = read_selection(query_values(self.request.query_arguments), self.api.settings.token_list())
        # It goes on if the client disconnects: it has asked for it, and may be in no position to ask again.
        async with self.reading(self.api.mass_cancels):
            answer = await self.api.cancelling.cancel_all(replace(selection, owner=self.caller.sees))
        self.answer(cancelled_all_json(answer))


def cancelled_all_json(answer: CancelledAll) -> dict[str, object]:
    """The answer to a client that has cancelled many orders."""
    return {"cancelled": answer.cancelled, "tooLate": answer.too_late}


def totals_json(totals: OrderTotals) -> dict[str, object]:
    """How many orders a list has. With `atLeast` there are more than were counted."""
    by_status = {status.value: count for status, count in totals.by_status.items()}
    return {"orders": totals.orders, "byStatus": by_status, "atLeast": totals.at_least}


def too_late(answer: TooLate) -> TooLateError:
    """The refusal for an order that cannot be cancelled any more."""
    about: dict[str, object] = {"orderId": str(answer.order_id), "orderStatus": answer.status.value}
    if answer.attempt is not None:
        about["attempt"] = dict(answer.attempt)
    if answer.ended or answer.attempt is None:
        return TooLateError(f"the order has ended: it is {answer.status}", about)
    detail = f"attempt {answer.attempt['attempt']} is signed ({answer.attempt['outcome']}): the order goes on"
    return TooLateError(detail, about)


def read_order_id(name: str) -> UUID:
    """The id in a path. Raises `OrderNotFoundError`: what is no id names no order."""
    if _UUID.fullmatch(name) is None:
        raise OrderNotFoundError(NO_ORDER)
    return UUID(name)


def read_order(api: Api, request: HTTPServerRequest, request_id: str, caller: Caller) -> NewOrder:
    """The order of a request, with a new id; it belongs to the key of `caller`. Raises `RequestError`."""
    headers = request.headers
    require_json(headers.get("Content-Type"), headers.get("Content-Encoding"))
    key = idempotency_key(headers)
    order = api.reader.within(caller.policy).read(
        request.body,
        uuid7(api.clock.unix_ms(), os.urandom(RANDOM_BYTES)),
        client_address(request, api.settings),
        key if key is None else owned_name(caller.owner, key),
        request_id,
        key=caller.name,
        key_wallets=caller.policy.wallets,
    )
    if caller.owner is None:
        return order
    # A group is one key's: the fill of another key's order must cancel nothing here, whatever names the keys choose.
    group = order.oco_group and owned_name(caller.owner, order.oco_group)
    return replace(order, owner=caller.owner, oco_group=group)


def idempotency_key(headers: HTTPHeaders) -> str | None:
    """The Idempotency-Key header, if any. Raises `InvalidIdempotencyKeyError`."""
    given = headers.get_list("Idempotency-Key")
    if not given:
        return None
    if len(given) == 1 and _KEY.fullmatch(given[0]):
        return given[0]
    problem = "is sent more than once" if len(given) > 1 else "is empty" if not given[0] else "is too long"
    if len(given) == 1 and 0 < len(given[0]) <= 255:
        problem = "holds other characters"
    raise InvalidIdempotencyKeyError(
        [FieldProblem("Idempotency-Key", problem, "one value of 1 to 255 printable ASCII characters")]
    )


def read_if_match(headers: HTTPHeaders) -> frozenset[int] | None:
    """The versions in the If-Match header; None if it allows any (`*`). Raises `PreconditionRequiredError` and
    `InvalidIfMatchError`."""
    given = headers.get("If-Match")
    if given is None:
        raise PreconditionRequiredError("send If-Match with the ETag that GET of the order returned")
    if given.strip() == "*":
        return None
    tags = [_ETAG.fullmatch(tag.strip()) for tag in given.split(",")]
    # A change depends on the version only. What the order waits for is no reason to refuse it.
    versions = frozenset(int(tag[1]) for tag in tags if tag)
    if not all(tags):
        problem = FieldProblem("If-Match", "is not an ETag of an order", 'the version in quotes: "7"')
        raise InvalidIfMatchError([problem])
    return versions
