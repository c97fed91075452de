"""Requests of the demo, by the client of this project: prices, orders, their events and their records.

Received messages are stored in `DemoOrder` as they come, before the client drops or repairs anything: `order.py`
checks them.
"""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

from dexexec.client import AsyncClient, ClientError, NoAnswerError, ProblemError
from dexexec.client.errors import one_line
from dexexec.client.problem_document import json_object
from dexexec.client.problems import UnauthorizedError
from dexexec.client.service_url import ServiceUrl
from dexexec.demo.kinds import net_price
from dexexec.demo.order import DemoOrder
from dexexec.errors import UnreachableError

POSTS_AT_ONCE = 20
POST_SECONDS = 30.0
CHECK_SECONDS = 5.0


class DemoClient:
    """Posts orders, follows each on its own socket, and reads their records.

    `changed` is called with each order that changed, `say` with other lines for people. `now` is a monotonic clock
    (seconds). An order that was not accepted within `post_seconds` is given up.
    """

    def __init__(
        self,
        url: str,
        *,
        changed: Callable[[DemoOrder], None],
        say: Callable[[str], None],
        now: Callable[[], float],
        token: str | None = None,
        post_seconds: float = POST_SECONDS,
    ) -> None:
        self._url = url.rstrip("/")
        self._changed = changed
        self._say = say
        self._now = now
        self._client = AsyncClient(url, token=token, timeout=post_seconds, outage_timeout=None)
        # Thousands of requests at the same moment would be refused, and only be repeated.
        self._posting = asyncio.Semaphore(POSTS_AT_ONCE)
        self._disconnected: set[DemoOrder] = set()
        self._disconnected_at = 0.0

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def check(self) -> None:
        """Check that the service answers. Raises `UnreachableError` with the remedy."""
        try:
            health = await self._client.ready(timeout=CHECK_SECONDS)
        except NoAnswerError as error:
            text = f"{error}. Start the service with python -m dexexec, or name another server with --url"
            raise UnreachableError(text) from error
        except UnauthorizedError as error:
            raise UnreachableError(f"{self._url} requires an API key: set DEXEXEC_API_KEY ({error})") from error
        except ProblemError as error:
            text = f"the server at {self._url} is not dexexec (HTTP {error.http_status} for /readyz)"
            raise UnreachableError(f"{text}: name the right server with --url") from error
        missing = health["missing"]
        if isinstance(missing, list) and missing:
            self._say(
                f"the server is not ready ({' and '.join(map(str, missing))} missing), so orders may have to wait"
            )

    async def prices(self, side: str, amounts: Sequence[str]) -> dict[str, Decimal]:
        """The best current price of each amount, net of fees. Raises `UnreachableError` if there is none."""
        try:
            quotes = await self._client.quote(amounts, side="buy" if side == "buy" else "sell")
        except ClientError as error:
            raise UnreachableError(f"{self._url} quotes no prices ({error})") from error
        if len(quotes) != len(amounts):
            raise UnreachableError(f"{self._url} quotes {len(quotes)} prices for {len(amounts)} amounts")
        found: dict[str, Decimal] = {}
        for amount, quote in zip(amounts, quotes, strict=True):
            best = quote.venues[0] if quote.venues else None
            price = net_price(best.data, side) if best else None
            if price is None:
                detail = one_line(best.detail or "no quote") if best else "no quote"
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
                order.record = (await self._client.get(order.order_id)).data
        except ClientError:
            return

    async def _post(self, order: DemoOrder) -> None:
        def report(reason: str, pause: float) -> None:
            order.note = f"{reason}; again in {pause:.1f} s"
            self._changed(order)

        order.posted_at = self._now()
        body = {"side": order.side, "amount": order.amount, **order.fields}
        try:
            order.order_id = (await self._client.place(body, key=order.key, on_retry=report)).order_id
            order.note = ""
        except ClientError as error:
            order.given_up = str(error)
        self._changed(order)

    async def _follow(self, order: DemoOrder) -> None:
        def connected() -> None:
            order.sockets += 1
            self._mark_connected(order)

        try:
            async with self._client.events(
                order.order_id,
                on_connect=connected,
                on_reconnect=lambda cause: self._mark_disconnected(order, cause),
                tap=lambda message: self._receive(order, message),
            ) as events:
                async for _ in events:
                    pass
        except _GivenUpError as error:
            order.given_up = str(error)
        except ProblemError as error:
            order.given_up = f"its socket was refused: {error}"
        except ClientError as error:
            # Without the id, so that the same fault of many orders is one line.
            order.given_up = str(error).replace(order.order_id, "the order")
        self._mark_connected(order)
        if order.given_up:
            self._changed(order)

    def _receive(self, order: DemoOrder, message: str | bytes) -> None:
        """Store what came. Raises `_GivenUpError` for what should never come."""
        event = json_object(message)
        error = event.get("error")
        if isinstance(error, dict):
            text = f"{error.get('code')}: {one_line(str(error.get('message')))}"
            # The service cannot read the order at the moment, and goes on by itself.
            if error.get("code") != "unavailable":
                raise _GivenUpError(f"its socket received the error {text}")
            order.note = text
        elif "notice" not in event and not order.add_event(event, self._now()):
            raise _GivenUpError(
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


class _GivenUpError(Exception):
    """The order's socket received what it never should."""


def check_url(url: str) -> None:
    """Raises `UnreachableError` unless `url` is the base address of a service."""
    try:
        ServiceUrl.read(url)
    except ValueError as error:
        raise UnreachableError(f"--url {str(error).removeprefix('the URL ')}") from None
