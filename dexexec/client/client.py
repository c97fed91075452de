"""The client for programs without an event loop, scripts and the REPL: the asynchronous one, on a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from dexexec.client.all_events import AllEventStream
from dexexec.client.answers import (
    Amended,
    Cancelled,
    CancelledAll,
    Costs,
    Event,
    Explanation,
    Order,
    Page,
    Placed,
    Quote,
    Signed,
    Venues,
)
from dexexec.client.async_client import FINAL, OUTAGE_SECONDS, SECONDS, AsyncClient
from dexexec.client.event_stream import EventStream
from dexexec.client.filters import Filters
from dexexec.client.order_body import UNSET, Unset
from dexexec.client.orders import Amount, AnyOrder, Conditions, ModeName, Price, SideName, TriggerName
from dexexec.client.requests import OnRetry
from dexexec.client.resume import Notice
from dexexec.client.service_answers import Checked, Overview, Stats
from dexexec.client.service_url import DEFAULT_URL
from dexexec.client.webhooks import Webhooks
from dexexec.domain.status import Status

T = TypeVar("T")
Stream = TypeVar("Stream", bound=EventStream | AllEventStream)


class Client:
    """A client of one service with the methods of `AsyncClient`, each of which blocks until its result is there.

    Usable from any number of threads, and a context manager. Its thread ends with `close`, or with the process.
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
        self._client = AsyncClient(
            url, token=token, tls=tls, timeout=timeout, outage_timeout=outage_timeout, on_retry=on_retry
        )
        self.webhooks = Webhooks(self._client.webhooks, self.run)
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def __repr__(self) -> str:
        return repr(self._client).replace("AsyncClient", type(self).__name__, 1)

    def close(self) -> None:
        """Close all streams and connections, and end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # Without a request there was no thread, and the client has nothing open.
            if self._thread is not None:
                asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
                # A loop that is stopped while its thread runs can be closed only after the thread has ended.
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Orders

    def place(
        self,
        order: AnyOrder | Mapping[str, object],
        *,
        key: str | None = None,
        timeout: float | None = None,
        on_retry: OnRetry | None = None,
    ) -> Placed:
        """As `AsyncClient.place`."""
        return self.run(self._client.place(order, key=key, timeout=timeout, on_retry=on_retry))

    def check(self, order: AnyOrder | Mapping[str, object], *, timeout: float | None = None) -> Checked:
        """As `AsyncClient.check`."""
        return self.run(self._client.check(order, timeout=timeout))

    def get(self, order_id: str, *, timeout: float | None = None) -> Order:
        """As `AsyncClient.get`."""
        return self.run(self._client.get(order_id, timeout=timeout))

    def explain(self, order_id: str, *, timeout: float | None = None) -> Explanation:
        """As `AsyncClient.explain`."""
        return self.run(self._client.explain(order_id, timeout=timeout))

    def list(
        self,
        filters: Filters | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        totals: bool | None = None,
        timeout: float | None = None,
    ) -> Page:
        """As `AsyncClient.list`."""
        return self.run(self._client.list(filters, limit=limit, cursor=cursor, totals=totals, timeout=timeout))

    def list_all(self, filters: Filters | None = None, *, page_size: int = 100) -> Iterator[Order]:
        """As `AsyncClient.list_all`."""
        cursor = None
        while True:
            page = self.list(filters, limit=page_size, cursor=cursor)
            yield from page.orders
            if (cursor := page.next) is None:
                return

    def sign(self, order_id: str, transaction: str, *, timeout: float | None = None) -> Signed:
        """As `AsyncClient.sign`."""
        return self.run(self._client.sign(order_id, transaction, timeout=timeout))

    def cancel(self, order_id: str, *, timeout: float | None = None) -> Cancelled:
        """As `AsyncClient.cancel`."""
        return self.run(self._client.cancel(order_id, timeout=timeout))

    def cancel_all(
        self,
        status: Literal["waiting", "open"],
        *,
        pair: str | None = None,
        tag: str | None = None,
        timeout: float | None = None,
    ) -> CancelledAll:
        """As `AsyncClient.cancel_all`."""
        return self.run(self._client.cancel_all(status, pair=pair, tag=tag, timeout=timeout))

    def amend(
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
    ) -> Amended:
        """As `AsyncClient.amend`."""
        return self.run(
            self._client.amend(
                order_id,
                version=version,
                amount=amount,
                limit_price=limit_price,
                trigger_price=trigger_price,
                trigger_when=trigger_when,
                trail_bps=trail_bps,
                expires_at=expires_at,
                min_price=min_price,
                max_price=max_price,
                conditions=conditions,
                timeout=timeout,
            )
        )

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
    ) -> "Events":
        """As `AsyncClient.events`. The functions are called on the client's thread."""

        # On the client's thread, which owns everything that the stream uses.
        async def open_stream() -> EventStream:
            return self._client.events(
                orders,
                after_seq=after_seq,
                stay_open=stay_open,
                on_notice=on_notice,
                on_connect=on_connect,
                on_reconnect=on_reconnect,
            )

        return Events(self, self.run(open_stream()))

    def all_events(
        self,
        after: str | None = None,
        *,
        on_notice: Callable[[Notice], None] | None = None,
        on_reconnect: Callable[[str], None] | None = None,
    ) -> "AllEvents":
        """As `AsyncClient.all_events`. The functions are called on the client's thread."""

        async def open_stream() -> AllEventStream:
            return self._client.all_events(after, on_notice=on_notice, on_reconnect=on_reconnect)

        return AllEvents(self, self.run(open_stream()))

    def wait(
        self,
        order_id: str,
        until: Status | str | Collection[Status | str] = FINAL,
        *,
        after_seq: int = 0,
        timeout: float | None = None,
    ) -> Event:
        """As `AsyncClient.wait`."""
        return self.run(self._client.wait(order_id, until, after_seq=after_seq, timeout=timeout))

    # Markets

    def quote(
        self,
        amount: Amount | Sequence[Amount],
        *,
        side: SideName | None = None,
        mode: ModeName | None = None,
        input_mint: str | None = None,
        output_mint: str | None = None,
        slippage_bps: int | None = None,
        max_price_impact_bps: int | None = None,
        timeout: float | None = None,
    ) -> Sequence[Quote]:
        """As `AsyncClient.quote`."""
        return self.run(
            self._client.quote(
                amount,
                side=side,
                mode=mode,
                input_mint=input_mint,
                output_mint=output_mint,
                slippage_bps=slippage_bps,
                max_price_impact_bps=max_price_impact_bps,
                timeout=timeout,
            )
        )

    def costs(
        self,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        group_by: Collection[Literal["venue", "day", "tag"]] = (),
        timeout: float | None = None,
    ) -> Costs:
        """As `AsyncClient.costs`."""
        return self.run(self._client.costs(since=since, until=until, group_by=group_by, timeout=timeout))

    def venues(self, *, timeout: float | None = None) -> Venues:
        """As `AsyncClient.venues`."""
        return self.run(self._client.venues(timeout=timeout))

    def overview(self, *, timeout: float | None = None) -> Overview:
        """As `AsyncClient.overview`."""
        return self.run(self._client.overview(timeout=timeout))

    def stats(self, *, minutes: int | None = None, timeout: float | None = None) -> Stats:
        """As `AsyncClient.stats`."""
        return self.run(self._client.stats(minutes=minutes, timeout=timeout))

    def ready(self, *, timeout: float | None = None) -> Mapping[str, object]:
        """As `AsyncClient.ready`."""
        return self.run(self._client.ready(timeout=timeout))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's thread, and wait for its result. A wait that is interrupted, as by Ctrl-C in
        a REPL, cancels it."""
        # On that thread it would wait for itself, for ever.
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a function that the client calls cannot call it: use another thread")
        # Under the lock: two threads that call at once must not start two threads, and none after the end.
        with self._lock:
            if self._closed:
                # A coroutine that never runs would be a warning.
                work.close()
                raise RuntimeError("the client is closed")
            if self._thread is None:
                # A daemon, so that a script that forgets to close the client ends all the same.
                self._thread = threading.Thread(target=self._loop.run_forever, name="dexexec-client", daemon=True)
                self._thread.start()
            future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Without this the request would go on behind the back of a program that has given it up.
            future.cancel()
            raise


class _Iteration(Generic[Stream]):
    """A stream's events as a blocking iterator and context manager."""

    def __init__(self, client: Client, stream: Stream) -> None:
        self._client = client
        self._stream: Stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self._client.run(self._next())
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """End the iteration, and close the socket."""
        self._client.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _next(self) -> Event | None:
        # A StopAsyncIteration cannot leave a coroutine.
        return await anext(self._stream, None)


class Events(_Iteration[EventStream]):
    """The events of orders as an iterator. As `EventStream`, and a context manager."""

    @property
    def positions(self) -> Mapping[str, int]:
        """By order id, the `seq` of the last event that was handed out: where another stream resumes."""
        return dict(self._stream.positions)

    def follow(self, order_id: str, after_seq: int = 0) -> None:
        """Follow one more order, from `after_seq` + 1 on."""

        async def follow() -> None:
            self._stream.follow(order_id, after_seq)

        self._client.run(follow())


class AllEvents(_Iteration[AllEventStream]):
    """The events of all orders as an iterator. As `AllEventStream`, and a context manager."""

    @property
    def position(self) -> str | None:
        """As of `AllEventStream`."""
        return self._stream.position

    def __enter__(self) -> Self:
        self._client.run(self._stream.begin())
        return self
