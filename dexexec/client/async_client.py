"""The asynchronous client: everything that the HTTP API and the event stream offer, for programs with an event loop."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Literal, Self
from uuid import uuid4

from dexexec.client import answers, service_answers
from dexexec.client.all_events import AllEventStream
from dexexec.client.answers import (
    Cancelled,
    CancelledAll,
    Event,
    Order,
    Page,
    Placed,
)
from dexexec.client.errors import NoAnswerError, OrderEndedError
from dexexec.client.event_stream import EventStream
from dexexec.client.fields import Json
from dexexec.client.filters import Filters
from dexexec.client.http_transport import HttpTransport
from dexexec.client.order_body import UNSET, Unset, camel, encode, idempotency_header, json_value, query_text
from dexexec.client.orders import Amount, AnyOrder, Conditions, Price, TriggerName
from dexexec.client.problems import PartlyCancelledError, ProblemError
from dexexec.client.requests import OnRetry, Requests, order_path, was_replayed
from dexexec.client.resume import Notice, Resumption
from dexexec.client.service_reads import ServiceReads
from dexexec.client.service_url import DEFAULT_URL, ApiKey, ServiceUrl, read_key
from dexexec.client.socket import STREAM, Socket, open_socket
from dexexec.client.webhooks import AsyncWebhooks
from dexexec.domain.status import Status

SECONDS = 30.0
"""The time limit of a request with all its repetitions."""
OUTAGE_SECONDS = 300.0
"""How long a stream tries to connect again."""
HANDSHAKES_AT_ONCE = 50
JSON = {"Content-Type": "application/json"}
FINAL: Literal["final"] = "final"


class AsyncClient(ServiceReads):
    """A client of one service. Usable from any number of tasks of one event loop, and an asynchronous context manager.

    Without `token` the API key is that of DEXEXEC_API_KEY, if it is set; an empty one means none. `tls` is for a
    service with a certificate of your own authority. `timeout` (seconds) limits each request with its repetitions,
    `outage_timeout` how long a stream tries to connect again (None: for ever). `on_retry` is called with the reason
    and the pause of each repetition. A closed client cannot be used again.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = SECONDS,
        outage_timeout: float | None = OUTAGE_SECONDS,
        on_retry: OnRetry | None = None,
    ) -> None:
        self._url = ServiceUrl.read(url)
        self._key: ApiKey | None = read_key(token)
        # Made once: reading the system's authorities takes a tenth of a second.
        self._tls = (tls or ssl.create_default_context()) if self._url.is_secure else None
        self._timeout = timeout
        self._outage_timeout = outage_timeout
        self._http = HttpTransport(self._url, self._key, self._tls)
        self._requests = Requests(self._http, random=random.random, on_retry=on_retry)
        self._handshakes = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self._streams: set[EventStream | AllEventStream] = set()
        self._closed = False
        self.webhooks = AsyncWebhooks(self._send)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url.base!r})"

    async def aclose(self) -> None:
        """Close all streams and connections."""
        self._closed = True
        # A copy, as each stream takes itself out of the set.
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # Orders

    async def place(
        self,
        order: AnyOrder | Mapping[str, object],
        *,
        key: str | None = None,
        timeout: float | None = None,
        on_retry: OnRetry | None = None,
    ) -> Placed:
        """Place an order; returns once the service has committed it.

        The request has an Idempotency-Key, `key` or a new one, so that it is repeated safely: after a lost answer, 503
        and 429, until `timeout`. An error has the key: placing the same order with it returns the order, if it was
        stored. `order` may also be the body of the request as a mapping.
        """
        # Before anything is sent: a float or a time without a zone is an error of the program.
        body = order if isinstance(order, Mapping) else order.body()
        # Chosen once for all tries of this call: the service stores one order for it.
        idempotency_key = uuid4().hex if key is None else idempotency_header(key)
        answer, headers = await self._send(
            "POST",
            STREAM,
            timeout=timeout,
            headers={**JSON, "Idempotency-Key": idempotency_key},
            body=encode(body),
            on_retry=on_retry,
        )
        return answers.placed_of(answer, idempotency_key, replayed=was_replayed(headers))

    async def check(
        self, order: AnyOrder | Mapping[str, object], *, timeout: float | None = None
    ) -> service_answers.Checked:
        """Whether the service would accept an order at this moment. Nothing is stored, reserved or counted."""
        body = encode(order if isinstance(order, Mapping) else order.body())
        answer, _ = await self._send("POST", "/api/orders/check", headers=JSON, body=body, timeout=timeout)
        return service_answers.checked_of(answer)

    async def get(self, order_id: str, *, timeout: float | None = None) -> Order:
        """An order with its events; `data` also has its quotes and attempts."""
        return answers.order_of((await self._send("GET", order_path(order_id), timeout=timeout))[0])

    async def explain(self, order_id: str, *, timeout: float | None = None) -> answers.Explanation:
        """What happened to an order, in sentences, and what to do now."""
        answer, _ = await self._send("GET", f"{order_path(order_id)}/explain", timeout=timeout)
        return answers.explanation_of(answer)

    async def list(
        self,
        filters: Filters | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        totals: bool | None = None,
        timeout: float | None = None,
    ) -> Page:
        """A page of orders, newest first. With `totals`, its `data` also counts the orders of the whole list."""
        wanted = (filters or Filters()).query()
        query = query_text({**wanted, "limit": limit, "cursor": cursor, "totals": totals})
        return answers.page_of((await self._send("GET", "/api/orders", timeout=timeout, query=query))[0])

    async def list_all(self, filters: Filters | None = None, *, page_size: int = 100) -> AsyncIterator[Order]:
        """All orders, newest first, page by page."""
        cursor = None
        while True:
            page = await self.list(filters, limit=page_size, cursor=cursor)
            for order in page.orders:
                yield order
            # Orders that come meanwhile are newer than the cursor, so no page repeats one.
            if (cursor := page.next) is None:
                return

    async def sign(self, order_id: str, transaction: str, *, timeout: float | None = None) -> answers.Signed:
        """Send the transaction (base64) that your wallet has signed for an order with `payer`. Raises
        `OtherTransactionError` if the order waits for another one by now, and `NoSignatureAwaitedError`."""
        body = encode({"transaction": transaction})
        path = f"{order_path(order_id)}/signed"
        answer, headers = await self._send("POST", path, headers=JSON, body=body, timeout=timeout)
        return answers.signed_of(answer, replayed=was_replayed(headers))

    async def cancel(self, order_id: str, *, timeout: float | None = None) -> Cancelled:
        """Cancel an order. Raises `TooLateError` once a transaction was signed for it, or it has ended."""
        answer, headers = await self._send("DELETE", order_path(order_id), timeout=timeout)
        return answers.cancelled_of(answer, replayed=was_replayed(headers))

    async def cancel_all(
        self,
        status: Literal["waiting", "open"],
        *,
        pair: str | None = None,
        tag: str | None = None,
        timeout: float | None = None,
    ) -> CancelledAll:
        """Cancel all orders that rest (`waiting`), or all that have not ended (`open`)."""
        certain: list[int] = []

        def count(refusal: ProblemError) -> None:
            cancelled = refusal.about.get("cancelled") if isinstance(refusal, PartlyCancelledError) else 0
            # What an interrupted try has cancelled is not in the answer to the next one.
            certain.append(cancelled if isinstance(cancelled, int) else 0)

        query = query_text({"status": status, "pair": pair, "tag": tag})
        answer, _ = await self._send("DELETE", "/api/orders", timeout=timeout, query=query, on_refusal=count)
        return answers.cancelled_all_of(answer, sum(certain))

    async def amend(
        self,
        order_id: str,
        *,
        version: int | None,
        amount: Amount | Unset = UNSET,
        limit_price: Price | Unset = UNSET,
        trigger_price: Price | Unset = UNSET,
        trigger_when: TriggerName | Unset = UNSET,
        trail_bps: int | Unset = UNSET,
        expires_at: datetime | str | Unset | None = UNSET,
        min_price: Price | Unset | None = UNSET,
        max_price: Price | Unset | None = UNSET,
        conditions: Conditions | Unset = UNSET,
        timeout: float | None = None,
    ) -> answers.Amended:
        """Change an order that rests, if `version` is its `seq` (None: any version). A price or time that is None is
        taken away. Raises `NotRestingError` and `VersionMismatchError`."""
        given: dict[str, object] = {
            "amount": amount,
            "limit_price": limit_price,
            "trigger_price": trigger_price,
            "trigger_when": trigger_when,
            "trail_bps": trail_bps,
            "expires_at": expires_at,
            "min_price": min_price,
            "max_price": max_price,
            "conditions": conditions,
        }
        changes = {camel(name): json_value(name, value) for name, value in given.items() if value is not UNSET}
        headers = {**JSON, "If-Match": "*" if version is None else f'"{version}"'}
        answer, received = await self._send(
            "PATCH", order_path(order_id), timeout=timeout, headers=headers, body=encode(changes)
        )
        return answers.amended_of(answer, replayed=was_replayed(received))

    # Events

    def events(
        self,
        orders: str | Iterable[str] | Mapping[str, int],
        *,
        after_seq: int = 0,
        stay_open: bool = False,
        on_notice: Callable[[Notice], None] | None = None,
        on_connect: Callable[[], None] | None = None,
        on_reconnect: Callable[[str], None] | None = None,
        tap: Callable[[str | bytes], None] | None = None,
    ) -> EventStream:
        """The events of one or many orders, each once and in order, from `after_seq` + 1 on: the history first, then
        live ones, until each order has ended. A mapping has the `after_seq` of each order.

        Use it in `async with`, or iterate to the end. It connects again by itself, and resumes. `on_connect` is called
        for each connection, and `on_reconnect` with the reason when one has ended. `stay_open` waits for further orders
        (`follow`) when all have ended. `tap` receives each message as it came.
        """
        self._check_open()
        state = Resumption(random=random.random, outage_seconds=self._outage_timeout)
        stream = EventStream(
            self._open_socket,
            state,
            stay_open=stay_open,
            on_notice=on_notice,
            on_connect=on_connect,
            on_reconnect=on_reconnect,
            tap=tap,
            on_end=self._streams.discard,
        )
        self._streams.add(stream)
        # A string is iterable as well, letter by letter.
        names = [orders] if isinstance(orders, str) else orders
        positions = names if isinstance(names, Mapping) else dict.fromkeys(names, after_seq)
        for order_id, position in positions.items():
            stream.follow(order_id, position)
        return stream

    def all_events(
        self,
        after: str | None = None,
        *,
        on_notice: Callable[[Notice], None] | None = None,
        on_reconnect: Callable[[str], None] | None = None,
    ) -> AllEventStream:
        """The events of all orders, behind a position (None: from now on), until it is closed."""
        self._check_open()
        state = Resumption(random=random.random, outage_seconds=self._outage_timeout)
        end = self._streams.discard
        stream = AllEventStream(
            self._open_socket, state, after, on_notice=on_notice, on_reconnect=on_reconnect, on_end=end
        )
        self._streams.add(stream)
        return stream

    async def wait(
        self,
        order_id: str,
        until: Status | str | Collection[Status | str] = FINAL,
        *,
        after_seq: int = 0,
        timeout: float | None = None,
    ) -> Event:
        """Wait until an order has ended (`final`), or reaches one of the statuses; returns that event.

        Raises `OrderEndedError` when it ends without one of them, and `NoAnswerError` after `timeout` seconds (None:
        no limit). A status that the order had after `after_seq` counts, although it has another one by now.
        """
        wanted = {until} if isinstance(until, str) else set(until)
        last: Event | None = None
        try:
            async with asyncio.timeout(timeout), self.events(order_id, after_seq=after_seq) as stream:
                async for event in stream:
                    last = event
                    if event.status in wanted or (event.final and FINAL in wanted):
                        return event
        except TimeoutError:
            state = "without an event" if last is None else f"and is {last.status}"
            raise NoAnswerError(f"the order has not ended within {timeout:g} s, {state}") from None
        # Without an event the order had ended before `after_seq` + 1, and the record has its end.
        if last is None:
            events = (await self.get(order_id)).events
            last = events[-1] if events else None
            if FINAL in wanted and last is not None:
                return last
        state = "" if last is None else f": it is {last.status}"
        raise OrderEndedError(f"the order has ended{state}", event=last)

    # The service

    async def ready(self, *, timeout: float | None = None) -> Mapping[str, object]:
        """The answer of `/readyz`, also when it is not ready: `missing` has what it lacks. It is requested once."""
        self._check_open()
        return await self._requests.readiness(self._timeout if timeout is None else timeout)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        timeout: float | None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        on_refusal: Callable[[ProblemError], None] | None = None,
        on_retry: OnRetry | None = None,
        once: bool = False,
    ) -> tuple[Json, Mapping[str, str]]:
        self._check_open()
        return await self._requests.send(
            method,
            path,
            seconds=self._timeout if timeout is None else timeout,
            query=query,
            headers=headers,
            body=body,
            on_refusal=on_refusal,
            on_retry=on_retry,
            once=once,
        )

    async def _open_socket(self) -> Socket:
        # Thousands at the same moment would overflow the server's queue of new connections.
        async with self._handshakes:
            return await open_socket(self._url, self._key, self._tls)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the client is closed")
