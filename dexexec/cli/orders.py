"""`python -m dexexec orders stuck` and `orders retry`: find orders that make no progress, and have them taken up again.

It works on the record alone, beside a running service; the sweeper of any worker puts retried orders on the queue.
"""

import argparse
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.store import Database

SHOWN = 1_000
"""Orders that `stuck` lists at most."""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    orders = commands.add_parser(
        "orders", help="list or retry orders that make no progress", description="Orders that make no progress."
    )
    which = orders.add_subparsers(dest="action", metavar="ACTION", required=True)
    which.add_parser(
        "stuck", help="orders that crash what works on them, or were set aside; exit code 1 if there are any"
    )
    retry = which.add_parser("retry", help="have orders taken up now")
    chosen = retry.add_mutually_exclusive_group(required=True)
    chosen.add_argument("ids", metavar="ID", nargs="*", type=_order_id, default=[], help="an order that has not ended")
    chosen.add_argument("--all", action="store_true", help="all that `stuck` lists")


async def run(options: argparse.Namespace, servers: "Servers", out: TextIO) -> int:
    """The command's work; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.store import migrate  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        if options.action == "stuck":
            return await list_stuck(database, out)
        return await retry(database, None if options.all else options.ids, out)


async def list_stuck(database: "Database", out: TextIO) -> int:
    """Print stuck orders; 1 if there are any, else 0."""
    from dexexec.store.stuck_orders import find_stuck  # noqa: PLC0415

    found = await find_stuck(database, SHOWN)
    for order in found:
        state = "set aside" if order.set_aside_at else f"{order.claims} crashes"
        out.write(
            f"{order.id}  {order.status:<10} {state:<12} {order.created_at:%Y-%m-%d %H:%M:%S}  {order.tx_hash or ''}\n"
        )
    if not found:
        out.write("no order is stuck\n")
    return 1 if found else 0


async def retry(database: "Database", order_ids: list[UUID] | None, out: TextIO) -> int:
    """Retry these orders, or all that are stuck; 1 if one of them has ended or does not exist, else 0."""
    from dexexec.store import stuck_orders  # noqa: PLC0415

    retried = await stuck_orders.retry(database, order_ids)
    missing = set(order_ids or ()) - set(retried)
    for order_id in sorted(missing):
        out.write(f"{order_id}: no such order that has not ended\n")
    out.write(f"{len(retried)} order{'' if len(retried) == 1 else 's'} will be taken up now\n")
    return 1 if missing else 0


def _order_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an order's id") from None
