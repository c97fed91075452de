"""`python -m dexexec demo`: posts orders to a running server, follows each on its own WebSocket and checks the events.

The exit code is 0 only if every order ended and its socket received every event of the stored order once and in order.
It is 1 otherwise, and 2 if the server cannot be reached.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO
from uuid import uuid4

from dexexec.demo.client import DemoClient, check_url
from dexexec.demo.order import DemoOrder, Summary, plan, summarize
from dexexec.demo.view import View, open_view, summary_lines

FRAME_SECONDS = 0.1
RECORDS_SECONDS = 30.0
SPARE_FILES = 64


def main(url: str, orders: int, timeout: float, out: TextIO | None = None) -> int:
    """Run the demo with `orders` orders for at most `timeout` seconds, and return the exit code.

    `out` is standard output by default. Raises `UnreachableError` (exit code 2) if there is no server at `url`.
    """
    check_url(url)
    _raise_file_limit(orders + SPARE_FILES)
    planned = plan(orders, (str(uuid4()) for _ in range(orders)))
    view = open_view(out or sys.stdout, planned, time.monotonic)
    summary = asyncio.run(run(url, planned, timeout, view, time.monotonic))
    for line in summary_lines(summary):
        view.say(line)
    return summary.exit_code


async def run(url: str, orders: Sequence[DemoOrder], limit: float, view: View, now: Callable[[], float]) -> Summary:
    """Execute all orders at the same time, for at most `limit` seconds. Raises `UnreachableError`."""
    client = DemoClient(url, changed=view.changed, say=view.say, now=now)
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
        client.close()
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
