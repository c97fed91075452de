"""`python -m dexexec demo`: posts orders to a running server, follows each on its own WebSocket and checks the events.

The exit code is 0 only if every order ended and its socket received every event of the stored order once and in order.
It is 1 otherwise, and 2 if the server cannot be reached.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TextIO
from uuid import uuid4

from dexexec.demo.client import POST_SECONDS, DemoClient, check_url
from dexexec.demo.kinds import Kind, plan_kind
from dexexec.demo.order import SIZES, DemoOrder, Summary, summarize
from dexexec.demo.view import View, open_view, summary_lines

FRAME_SECONDS = 0.1
RECORDS_SECONDS = 30.0
SPARE_FILES = 64
LONGEST_REST = 20.0
"""Seconds until an order that rests expires."""
LONGEST_LAUNCH = 60.0
"""The same for a sniper: the mocks launch a pool of each mint every 30 s, unless that is set otherwise."""


def main(
    url: str,
    orders: int,
    timeout: float,
    out: TextIO | None = None,
    *,
    kind: Kind = Kind.MARKET,
    dry_run: bool = False,
    token: str | None = None,
) -> int:
    """Run the demo with `orders` orders of a kind for at most `timeout` seconds, and return the exit code.

    `out` is standard output by default. Raises `UnreachableError` (exit code 2) if there is no server at `url`.
    """
    check_url(url)
    _raise_file_limit(orders + SPARE_FILES)
    planned = asyncio.run(plan_orders(url, kind, orders, limit=timeout, dry_run=dry_run, token=token))
    view = open_view(out or sys.stdout, planned, time.monotonic)
    summary = asyncio.run(run(url, planned, timeout, view, time.monotonic, token=token))
    for line in summary_lines(summary):
        view.say(line)
    return summary.exit_code


async def plan_orders(
    url: str, kind: Kind, count: int, *, limit: float, dry_run: bool, token: str | None = None
) -> list[DemoOrder]:
    """The orders of a run, by current prices where their kind needs them. Raises `UnreachableError`."""
    keys = [str(uuid4()) for _ in range(count)]
    prices: dict[tuple[str, str], Decimal] = {}
    if kind.needs_prices:
        client = DemoClient(url, changed=lambda _: None, say=lambda _: None, now=time.monotonic, token=token)
        try:
            await client.check()
            for side in sorted({side for side, _ in SIZES}):
                amounts = [amount for of_side, amount in SIZES if of_side == side]
                found = await client.prices(side, amounts)
                prices |= {(side, amount): price for amount, price in found.items()}
        finally:
            await client.close()
    longest = LONGEST_LAUNCH if kind is Kind.SNIPER else LONGEST_REST
    expires_at = datetime.now(UTC) + timedelta(seconds=min(longest, limit / 2))
    return plan_kind(kind, count, keys, prices=prices, expires_at=expires_at, dry_run=dry_run)


async def run(
    url: str,
    orders: Sequence[DemoOrder],
    limit: float,
    view: View,
    now: Callable[[], float],
    *,
    token: str | None = None,
) -> Summary:
    """Execute all orders at the same time, for at most `limit` seconds. Raises `UnreachableError`."""
    # Half of the time at most, so that an order that is accepted late can still end.
    seconds = min(POST_SECONDS, limit / 2)
    client = DemoClient(url, changed=view.changed, say=view.say, now=now, token=token, post_seconds=seconds)
    try:
        await client.check()
        with view:
            async with asyncio.TaskGroup() as background:
                # A task of its own, so that the elapsed times move on while no event comes.
                frames = background.create_task(_frames(view))
                await _execute(client, orders, limit, view)
                await _read_records(client, orders)
                # The task group would wait for it for ever.
                frames.cancel()
    finally:
        await client.close()
    return summarize(orders)


async def _execute(client: DemoClient, orders: Sequence[DemoOrder], limit: float, view: View) -> None:
    try:
        async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
            for order in orders:
                group.create_task(client.execute(order))
    except TimeoutError:
        left = sum(not order.ended for order in orders)
        view.say(f"time limit: {left} of {len(orders)} orders have not ended after {limit:g} s (see --timeout)")


async def _read_records(client: DemoClient, orders: Sequence[DemoOrder]) -> None:
    """Read the stored orders, to compare them with the received events. A record that is not read stays None."""
    try:
        async with asyncio.timeout(RECORDS_SECONDS), asyncio.TaskGroup() as group:
            for order in orders:
                if order.order_id:
                    group.create_task(client.read_record(order))
    except TimeoutError:
        pass


async def _frames(view: View) -> None:
    while True:
        await asyncio.sleep(FRAME_SECONDS)
        view.refresh()


def _raise_file_limit(count: int) -> None:
    """Raise the limit of open files, because each order has a socket."""
    import resource  # noqa: PLC0415 - not on every platform, and needed nowhere else

    # The default of 256 files on some systems is only the soft limit, which a process may raise itself.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
