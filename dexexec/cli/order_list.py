"""`python -m dexexec orders`: the list of orders, with the filters of `GET /api/orders`, as a table or as JSON."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.cli.numbers import integer

if TYPE_CHECKING:
    from dexexec.api.list_query import ListQuery
    from dexexec.domain.order_filter import OrderFilter, OrderTotals
    from dexexec.domain.token import Tokens
    from dexexec.store import Database

LARGEST = 10_000
PAGE = 500
HEAD = ("CREATED", "ORDER", "TYPE", "SIDE", "AMOUNT", "PAIR", "STATUS", "VENUE", "REASON OR TRANSACTION")
FILTERS: Mapping[str, tuple[str, str]] = {
    "status": ("STATUS", "only these statuses, comma-separated"),
    "from": ("TIME", "created from this UTC day or time on: 2026-01-31, 2026-01-31T12:00:00Z"),
    "to": ("TIME", "created before this UTC day or time"),
    "pair": ("IN/OUT", "with inputMint IN and outputMint OUT, as mints or symbols"),
    "venue": ("VENUE", "whose latest attempt is on this venue"),
    "reason": ("REASON", "that ended with this failureReason"),
    "type": ("TYPE", "market, limit, recurring or sniper"),
    "dryRun": ("BOOL", "true: only dry runs; false: none"),
    "tag": ("TAG", "with this tag"),
    "parent": ("ID", "that were made for this order"),
    "ocoGroup": ("NAME", "of this group"),
    "wallet": ("NAME", "that name this wallet"),
    "key": ("NAME", "that were posted with this key"),
}
"""The parameters of `GET /api/orders` that are options here, with `dryRun` as `--dry-run`."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the list."""
    for name, (shown, about) in FILTERS.items():
        parser.add_argument(option(name), dest=f"filter_{name}", metavar=shown, help=about)
    parser.add_argument(
        "--limit", type=integer(1, LARGEST), default=20, metavar="N", help=f"1 to {LARGEST} orders (default: 20)"
    )
    parser.add_argument("--totals", action="store_true", help="also count all that match, by status")
    parser.add_argument("--json", action="store_true", help="print JSON, with the fields of GET /api/orders")


def option(name: str) -> str:
    """The option of a parameter."""
    return "--" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)


async def run(options: argparse.Namespace, database: "Database", tokens: "Tokens", out: TextIO) -> int:
    """Print the list; the exit code. Raises `StartupError` for a bad filter, and `UnavailableError`."""
    from dexexec.store import order_lists  # noqa: PLC0415 - --help should not wait for it

    query = read_options(options, tokens)
    wanted = await _with_owners(query, database)
    orders = await _read(database, wanted, options.limit)
    totals = await order_lists.count(database, wanted) if options.totals else None
    if options.json:
        out.write(json.dumps(as_json(orders, totals), indent=2) + "\n")
    else:
        write_table(orders, totals, tokens, out)
    return 0


def read_options(options: argparse.Namespace, tokens: "Tokens") -> "ListQuery":
    """The filters, read as those of a request. Raises `StartupError` for the first bad one."""
    from dexexec.api.list_query import read_list_query  # noqa: PLC0415
    from dexexec.errors import InvalidQueryError, StartupError  # noqa: PLC0415

    # The reader of requests, so that an option takes and refuses exactly what the API does. A page's size is not among
    # them: a command may list more orders than a page has.
    given = {name: getattr(options, f"filter_{name}", None) for name in FILTERS}
    try:
        return read_list_query({name: [text.encode()] for name, text in given.items() if text is not None}, tokens)
    except InvalidQueryError as error:
        [problem, *_] = error.fields
        raise StartupError(f"{option(problem.field)} {problem.problem}: it must be {problem.expected}") from None


def as_json(orders: Sequence[Mapping[str, object]], totals: "OrderTotals | None") -> dict[str, object]:
    """The list as JSON values."""
    from dexexec.api.orders import totals_json  # noqa: PLC0415

    return {"orders": list(orders), **({} if totals is None else {"totals": totals_json(totals)})}


def write_table(
    orders: Sequence[Mapping[str, Any]], totals: "OrderTotals | None", tokens: "Tokens", out: TextIO
) -> None:
    """Print one line for each order. Times are UTC."""
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415

    if orders:
        symbols = {token.mint: token.symbol for token in tokens}
        write_aligned([HEAD, *(_cells(order, symbols) for order in orders)], out)
    else:
        out.write("no order\n")
    if totals is not None:
        counts = ", ".join(f"{count} {status}" for status, count in totals.by_status.items())
        more = "more than " if totals.at_least else ""
        out.write(f"\n{more}{totals.orders - totals.at_least} in all{': ' if counts else ''}{counts}\n")


def _cells(order: Mapping[str, Any], symbols: Mapping[str, str]) -> tuple[str, ...]:
    mints = (order["inputMint"], order["outputMint"])
    return (
        str(order["createdAt"]).replace("T", " ").partition(".")[0],
        str(order["orderId"]),
        str(order["type"]) + (" dry" if order["dryRun"] else ""),
        str(order["side"]),
        str(order["amount"]),
        "/".join(symbols.get(mint, f"{mint[:6]}…" if mint else "?") for mint in mints),
        str(order["status"]),
        str(order["venue"] or ""),
        str(order["failureReason"] or order["txHash"] or ""),
    )


async def _read(database: "Database", wanted: "OrderFilter", limit: int) -> list[dict[str, object]]:
    from dexexec.store import Cursor  # noqa: PLC0415
    from dexexec.store.queries import read_orders  # noqa: PLC0415

    orders: list[dict[str, object]] = []
    before: Cursor | None = None
    # In pages, since a statement of the service has ten seconds, and a row of the archive is read with its partition.
    while len(orders) < limit:
        page = await read_orders(database, min(PAGE, limit - len(orders)), before, wanted)
        if not page:
            break
        for order in page:
            last = order.pop("_cursor")
            before = last if isinstance(last, Cursor) else None
        orders += page
    return orders


async def _with_owners(query: "ListQuery", database: "Database") -> "OrderFilter":
    """The filter, with the numbers of the key that is named."""
    from dataclasses import replace  # noqa: PLC0415

    from dexexec.errors import StartupError  # noqa: PLC0415
    from dexexec.store.order_lists import owners_named  # noqa: PLC0415

    if query.key is None:
        return query.wanted
    owners = await owners_named(database, query.key)
    if not owners:
        raise StartupError(f"--key {query.key}: no key has this name; `python -m dexexec keys list` lists them")
    return replace(query.wanted, owners=tuple(owners))
