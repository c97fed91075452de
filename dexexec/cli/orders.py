"""`python -m dexexec orders`, `retry`, `release` and `dead-letters`: lists orders, and gives them to workers again.

The commands only use Postgres, and may run beside the service. A worker's sweeper puts retried and released orders on
the queue within a second or two.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from dexexec.cli import order_list
from dexexec.cli.explain import order_id
from dexexec.cli.numbers import integer

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.domain.token import Tokens
    from dexexec.store import Database
    from dexexec.store.operator_lists import DeadLetter
    from dexexec.store.stuck_orders import StuckOrder

SHOWN = 1_000
"""The most orders that `stuck` lists."""
COMMANDS = ("orders", "retry", "release", "dead-letters")


def add_parsers(commands: Any) -> None:
    """Add the commands and their options."""
    orders = commands.add_parser(
        "orders",
        help="list orders, with the filters of GET /api/orders",
        description="List orders, newest first. Times are UTC.",
    )
    order_list.add_options(orders)
    which = orders.add_subparsers(dest="action", metavar="ACTION")
    stuck = which.add_parser(
        "stuck",
        help="list orders that crash their workers or were set aside; the exit code is 1 if there are any",
        description="List orders that crash their workers or were set aside. The exit code is 1 if there are any.",
    )
    stuck.add_argument("--json", action="store_true", help="print JSON")
    _add_retry(which, "the same as the command retry")
    _add_retry(commands, "retry orders that crash their workers, now")
    release = commands.add_parser(
        "release",
        help="take orders away from the worker that holds them",
        description="Take orders away from the worker that holds them, such as one that hangs. Another one takes them"
        " up. A transaction that was signed and recorded is taken over with its order, never signed again.",
    )
    release.add_argument("ids", metavar="ID", nargs="+", type=order_id, help="the id of an order that has not ended")
    release.add_argument("--json", action="store_true", help="print JSON")
    letters = commands.add_parser(
        "dead-letters",
        help="list orders that were given up after crashes, set aside, or crash their workers now",
        description="List orders that were given up (poisoned) after crashes, set aside, or crash their workers now,"
        " each with its last crash.",
    )
    letters.add_argument("--limit", type=integer(1, 10_000), default=100, metavar="N", help="1 to 10000 (default: 100)")
    letters.add_argument("--json", action="store_true", help="print JSON")


def _add_retry(to: Any, about: str) -> None:
    retry = to.add_parser("retry", help=about, description="Retry orders now. A running worker takes them up.")
    chosen = retry.add_mutually_exclusive_group(required=True)
    chosen.add_argument(
        "ids", metavar="ID", nargs="*", type=order_id, default=[], help="the id of an order that has not ended"
    )
    chosen.add_argument("--all", action="store_true", help="all orders that `orders stuck` lists")
    retry.add_argument("--json", action="store_true", help="print JSON")


async def run(options: argparse.Namespace, servers: "Servers", tokens: "Tokens", out: TextIO) -> int:
    """Run the command; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.store import migrate  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        match options.command, getattr(options, "action", None):
            case "orders", None:
                return await order_list.run(options, database, tokens, out)
            case "orders", "stuck":
                return await list_stuck(database, out, as_json=options.json)
            case "release", _:
                return await release(database, options.ids, out, as_json=options.json)
            case "dead-letters", _:
                return await list_dead_letters(database, options.limit, out, as_json=options.json)
            # `retry`, and `orders retry`, which scripts of earlier versions use.
            case _:
                return await retry(database, None if options.all else options.ids, out, as_json=options.json)


async def list_stuck(database: "Database", out: TextIO, *, as_json: bool = False) -> int:
    """Print the stuck orders. Returns 1 if there are any, else 0."""
    from dexexec.store.stuck_orders import find_stuck  # noqa: PLC0415

    stuck = await find_stuck(database, SHOWN)
    if as_json:
        _write(out, {"orders": [_stuck_json(order) for order in stuck]})
    for order in () if as_json else stuck:
        state = "set aside" if order.set_aside_at else f"{order.claims} crashes"
        out.write(
            f"{order.id}  {order.status:<10} {state:<12} {order.created_at:%Y-%m-%d %H:%M:%S}  {order.tx_hash or ''}\n"
        )
    if not stuck and not as_json:
        out.write("no order is stuck\n")
    return 1 if stuck else 0


async def retry(database: "Database", order_ids: list[UUID] | None, out: TextIO, *, as_json: bool = False) -> int:
    """Retry the given orders, or all stuck ones. Returns 1 if one of them has ended or does not exist, else 0."""
    from dexexec.store import stuck_orders  # noqa: PLC0415

    retried = await stuck_orders.retry(database, order_ids)
    missing = sorted(set(order_ids or ()) - set(retried))
    if as_json:
        _write(out, {"retried": [str(one) for one in retried], "notRetried": [str(one) for one in missing]})
        return 1 if missing else 0
    for missing_id in missing:
        out.write(f"{missing_id}: the order does not exist or has ended\n")
    out.write(f"{len(retried)} order{'' if len(retried) == 1 else 's'} will be retried now\n")
    return 1 if missing else 0


async def release(database: "Database", order_ids: Sequence[UUID], out: TextIO, *, as_json: bool = False) -> int:
    """Take orders away from their workers. Returns 1 if one of them was held by none, else 0."""
    from dexexec.store import operator_lists  # noqa: PLC0415

    released = await operator_lists.release(database, order_ids)
    # Read afterwards, only to explain: the statement above has decided.
    statuses = await operator_lists.open_orders(database, order_ids)
    kept = {one: _why_not(statuses.get(one)) for one in order_ids if one not in released}
    if as_json:
        taken = [{"orderId": str(one), "worker": worker} for one, worker in released.items()]
        left = [{"orderId": str(one), "reason": why} for one, why in kept.items()]
        _write(out, {"released": taken, "notReleased": left})
        return 1 if kept else 0
    for one, worker in released.items():
        out.write(f"{one}  released from {worker}\n")
    for one, why in kept.items():
        out.write(f"{one}  {why}\n")
    return 1 if kept else 0


async def list_dead_letters(database: "Database", limit: int, out: TextIO, *, as_json: bool = False) -> int:
    """Print the dead letters."""
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415
    from dexexec.store import operator_lists  # noqa: PLC0415

    letters = await operator_lists.list_dead_letters(database, limit)
    if as_json:
        _write(out, {"orders": [_letter_json(letter) for letter in letters]})
    elif letters:
        head = ("CREATED", "ORDER", "STATE", "CRASHES", "LAST", "WHAT HAPPENED")
        write_aligned([head, *(_letter_cells(letter) for letter in letters)], out)
    else:
        out.write("no order was given up\n")
    return 0


def _why_not(status: str | None) -> str:
    return "it does not exist, or has ended" if status is None else f"no worker holds it: it is {status}"


def _stuck_json(order: "StuckOrder") -> dict[str, object]:
    from dexexec.domain.event import timestamp  # noqa: PLC0415

    return {
        "orderId": str(order.id),
        "status": order.status,
        "crashes": order.claims,
        "setAsideAt": order.set_aside_at and timestamp(order.set_aside_at),
        "txHash": order.tx_hash,
        "createdAt": timestamp(order.created_at),
    }


def _letter_json(letter: "DeadLetter") -> dict[str, object]:
    from dexexec.domain.event import timestamp  # noqa: PLC0415

    return {
        "orderId": str(letter.id),
        "state": letter.state,
        "status": letter.status,
        "crashes": letter.claims,
        "createdAt": timestamp(letter.created_at),
        "venue": letter.venue,
        "txHash": letter.tx_hash,
        "lastCrash": {"at": timestamp(letter.at), "detail": letter.detail},
    }


def _letter_cells(letter: "DeadLetter") -> tuple[str, ...]:
    return (
        f"{letter.created_at:%Y-%m-%d %H:%M:%S}",
        str(letter.id),
        letter.state,
        "?" if letter.claims is None else str(letter.claims),
        f"{letter.at:%Y-%m-%d %H:%M:%S}",
        letter.detail or "",
    )


def _write(out: TextIO, document: Mapping[str, object]) -> None:
    out.write(json.dumps(document, indent=2) + "\n")
