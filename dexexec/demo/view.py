"""The demo's output: a live table on a terminal, plain lines anywhere else, and a summary at the end."""

import os
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dexexec.demo.order import FILLED, DemoOrder, Summary
from dexexec.domain.status import Status

STYLES: Mapping[str, str] = {
    Status.PENDING: "yellow",
    Status.WAITING: "yellow",
    Status.ROUTING: "cyan",
    Status.BUILDING: "blue",
    Status.SUBMITTED: "magenta",
    Status.CONFIRMED: "bold green",
    Status.FAILED: "bold red",
    Status.CANCELLED: "red",
    Status.EXPIRED: "red",
    Status.SIMULATED: "bold blue",
}
LINES_AROUND = 6
"""Lines of the terminal for the table's head and foot and the prompt."""
FAULTS_SHOWN = 20
LOOK_UP = (
    "curl -s http://127.0.0.1:8899 -H 'Content-Type: application/json' -d '"
    '{"jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": ["SIGNATURE",'
    """ {"maxSupportedTransactionVersion": 1}]}'"""
)
"""The command that shows a transaction of a localnet at its default address."""
IDS_SHOWN = 5


class View(Protocol):
    """Shows a run while its context is open. `say` also works afterwards."""

    def __enter__(self) -> Self:
        """Start to draw."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and restore the terminal."""

    def changed(self, order: DemoOrder) -> None:
        """An order has changed."""

    def refresh(self) -> None:
        """Draw again, because time has passed."""

    def say(self, text: str) -> None:
        """Print a line."""


class PlainView:
    """Prints a complete line per change, for pipes, files and logs."""

    def __init__(self, out: TextIO, now: Callable[[], float]) -> None:
        self._out = out
        self._now = now
        self._begun = now()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, order: DemoOrder) -> None:
        """Print the order's line."""
        self.say(f"{self._now() - self._begun:7.2f} s  {plain_line(order)}")

    def refresh(self) -> None:
        """Print nothing, because no order has changed."""

    def say(self, text: str) -> None:
        """Print a line at once. If the reader has closed the pipe, the run goes on without output."""
        if self._closed:
            return
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except BrokenPipeError:
            self._closed = True
            # Python flushes the stream when it exits, and would print an error if it still were the broken pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())


class LiveView:
    """A table that is redrawn in place. A line below it counts the orders that do not fit."""

    def __init__(self, console: Console, orders: Sequence[DemoOrder], now: Callable[[], float]) -> None:
        self._console = console
        self._orders = orders
        self._now = now
        # Without its own refresh thread: the demo's event loop draws.
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._table)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.refresh()
        self._live.stop()

    def changed(self, order: DemoOrder) -> None:
        """Draw nothing: the next refresh shows it."""

    def refresh(self) -> None:
        """Draw the table."""
        self._live.refresh()

    def say(self, text: str) -> None:
        """Print a line, above the table if there is one."""
        self._console.print(Text(text), soft_wrap=True)

    def _table(self) -> Table:
        return table(self._orders, max(1, self._console.height - LINES_AROUND), self._now())


def open_view(out: TextIO, orders: Sequence[DemoOrder], now: Callable[[], float]) -> View:
    """The view for `out`."""
    console = Console(file=out)
    # A dumb terminal cannot move the cursor back, so the table could not be redrawn in place.
    if out.isatty() and console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, orders, now)
    return PlainView(out, now)


def plain_line(order: DemoOrder) -> str:
    """An order in one line."""
    cells = (
        f"{order.short_id or '-':<8}",
        f"{order.side:<4} {order.amount:>6}",
        f"{order.status:<9}",
        f"{order.latest('venue'):<13}",
        f"{order.latest('price'):<11}",
        remark(order),
    )
    return "  ".join(cells).rstrip()


def remark(order: DemoOrder) -> str:
    """The most important remark on an order: what delays it, why it failed, or its transaction."""
    signature = order.latest("txHash")
    finality = ", not final yet" if order.status == Status.CONFIRMED and not order.ended else ""
    transaction = f"tx {signature[:8]}...{finality}" if signature else ""
    return order.given_up or order.note or order.failure() or transaction


def window(orders: Sequence[DemoOrder], rows: int) -> list[DemoOrder]:
    """The `rows` most interesting orders, in their original order.

    First orders under way, then those that ended last, then those that are not posted yet.
    """
    if len(orders) <= rows:
        return list(orders)
    # Chosen by urgency, but shown in the original order, so that rows do not jump around.
    rank = {order: place for place, order in enumerate(orders)}

    def urgency(order: DemoOrder) -> tuple[int, float]:
        if order.ended_at is not None:
            return 1, -order.ended_at
        return (2, 0.0) if order.posted_at is None else (0, 0.0)

    return sorted(sorted(orders, key=urgency)[:rows], key=rank.__getitem__)


def table(orders: Sequence[DemoOrder], rows: int, now: float) -> Table:
    """The table of at most `rows` orders at time `now`, with the totals of all orders below it."""
    shown = window(orders, rows)
    result = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    result.caption = _caption(orders, len(shown))
    result.caption_justify = "left"
    for name, width in (("Order", 8), ("Side", 4), ("Amount", 6), ("Status", 9), ("Venue", 12), ("Price", 9)):
        right = name in {"Amount", "Price"}
        result.add_column(name, width=width, no_wrap=True, justify="right" if right else "left")
    result.add_column("Elapsed", width=8, no_wrap=True, justify="right")
    result.add_column("Tx / reason", no_wrap=True, ratio=1)
    for order in shown:
        elapsed = order.elapsed(now)
        result.add_row(
            order.short_id,
            order.side,
            order.amount,
            Text(order.status, style=STYLES.get(order.status, "dim")),
            Text(order.latest("venue")),
            order.latest("price")[:9],
            "" if elapsed is None else f"{elapsed:.2f} s",
            Text(remark(order)),
        )
    return result


def summary_lines(summary: Summary) -> list[str]:
    """The summary of a run, line by line."""
    times = [(summary.confirmed_seconds, "`confirmed`"), (summary.seconds, "the final event")]
    took = [
        f"p50 {median(seconds):.2f} s, max {max(seconds):.2f} s, from POST to {end}"
        for seconds, end in times
        if seconds
    ]
    filled = any(summary.statuses.get(status) for status in FILLED)
    lines = [
        "",
        f"Orders   {summary.orders}: {_outcomes(summary)}",
        f"Venues   {_counts(summary.venues) or ('those of the slices' if filled else 'no fill')}",
        f"Time     {(chr(10) + ' ' * 9).join(took or ['nothing ended'])}",
        f"Events   {summary.events} received; sockets: {summary.sockets}, reconnects: {summary.reconnects}",
    ]
    if summary.signature:
        lines += [f"Chain    real transactions, such as {summary.signature}"]
        lines += [
            "         on a localnet, look at it with",
            f"         {LOOK_UP.replace('SIGNATURE', summary.signature)}",
        ]
    if not summary.faults:
        return [*lines, "Result   all orders ended, and each socket received every event once and in order"]
    lines.append("Result   FAILED, some orders have faults:")
    for fault, ids in list(summary.faults.items())[:FAULTS_SHOWN]:
        more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
        lines.append(f"  {', '.join(ids[:IDS_SHOWN])}{more}: {fault}")
    if len(summary.faults) > FAULTS_SHOWN:
        lines.append(f"  and {len(summary.faults) - FAULTS_SHOWN} other faults")
    return lines


def _outcomes(summary: Summary) -> str:
    counts = {str(Status.CONFIRMED): 0, str(Status.FAILED): 0, **summary.statuses}
    reasons = f" (reasons: {_counts(summary.reasons)})" if summary.reasons else ""
    return ", ".join(f"{count} {status}" for status, count in counts.items()) + reasons


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _caption(orders: Sequence[DemoOrder], shown: int) -> Text:
    ended = sum(order.ended for order in orders)
    under_way = sum(order.posted_at is not None for order in orders) - ended
    text = f"{ended} of {len(orders)} ended, {under_way} under way"
    return Text(text + (f"; {len(orders) - shown} not shown" if len(orders) > shown else ""), style="dim")
