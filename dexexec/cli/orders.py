"""`python -m dexexec orders stuck` and `orders retry`: list orders that make no progress, and retry them.

The commands only use Postgres, and may run beside the service. A worker's sweeper puts retried orders on the queue.
"""

import argparse
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from dexexec.cli.explain import order_id

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.store import Database

SHOWN = 1_000
"""The most orders that `stuck` lists."""


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    orders = commands.add_parser(
        "orders",
        help="list or retry orders that make no progress",
        description="List or retry orders that make no progress.",
    )
    which = orders.add_subparsers(dest="action", metavar="ACTION", required=True)
    which.add_parser(
        "stuck",
        help="list orders that crash their workers or were set aside; the exit code is 1 if there are any",
        description="List orders that crash their workers or were set aside. The exit code is 1 if there are any.",
    )
    retry = which.add_parser(
        "retry", help="retry orders now", description="Retry orders now. A running worker takes them up."
    )
    chosen = retry.add_mutually_exclusive_group(required=True)
    chosen.add_argument(
        "ids", metavar="ID", nargs="*", type=order_id, default=[], help="the id of an order that has not ended"
    )
    chosen.add_argument("--all", action="store_true", help="all orders that `stuck` lists")


async def run(options: argparse.Namespace, servers: "Servers", out: TextIO) -> int:
    """Run the command; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.store import migrate  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        if options.action == "stuck":
            return await list_stuck(database, out)
        return await retry(database, None if options.all else options.ids, out)


async def list_stuck(database: "Database", out: TextIO) -> int:
    """Print the stuck orders. Returns 1 if there are any, else 0."""
    from dexexec.store.stuck_orders import find_stuck  # noqa: PLC0415

    stuck = await find_stuck(database, SHOWN)
    for order in stuck:
        state = "set aside" if order.set_aside_at else f"{order.claims} crashes"
        out.write(
            f"{order.id}  {order.status:<10} {state:<12} {order.created_at:%Y-%m-%d %H:%M:%S}  {order.tx_hash or ''}\n"
        )
    if not stuck:
        out.write("no order is stuck\n")
    return 1 if stuck else 0


async def retry(database: "Database", order_ids: list[UUID] | None, out: TextIO) -> int:
    """Retry the given orders, or all stuck ones. Returns 1 if one of them has ended or does not exist, else 0."""
    from dexexec.store import stuck_orders  # noqa: PLC0415

    retried = await stuck_orders.retry(database, order_ids)
    missing = set(order_ids or ()) - set(retried)
    for missing_id in sorted(missing):
        out.write(f"{missing_id}: the order does not exist or has ended\n")
    out.write(f"{len(retried)} order{'' if len(retried) == 1 else 's'} will be retried now\n")
    return 1 if missing else 0
