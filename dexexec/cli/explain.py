"""`python -m dexexec explain ID`: an order's history in sentences, read from the record beside a running service."""

import argparse
import json
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.domain.token import Tokens


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "explain",
        help="what happened to an order, and what to do now",
        description="What happened to an order, and what to do now. Works beside a running service.",
    )
    parser.add_argument("id", metavar="ID", type=order_id, help="the orderId that posting it returned")
    parser.add_argument("--json", action="store_true", help="JSON, as GET /api/orders/{id}/explain returns it")


async def run(options: argparse.Namespace, servers: "Servers", tokens: "Tokens", out: TextIO) -> int:
    """The command's work; the exit code is 1 if there is no such order. Raises `StartupError` and
    `UnavailableError`."""
    from dexexec.api.explanation import explain  # noqa: PLC0415 - --help should not wait for it
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415
    from dexexec.store import migrate  # noqa: PLC0415
    from dexexec.store.queries import read_order  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        order = await read_order(database, options.id)
    if order is None:
        out.write(f"{options.id}: no such order\n")
        return 1
    explained = explain(order, tokens)
    if options.json:
        out.write(json.dumps(explained, indent=2) + "\n")
    else:
        write_text(explained, out)
    return 0


def write_text(explained: dict[str, Any], out: TextIO) -> None:
    """The explanation for a person: a line for each sentence, with the time since the order was accepted."""
    out.write(f"{explained['orderId']}  {explained['status']}\n{explained['summary']}\n\n")
    for sentence in explained["sentences"]:
        out.write(f"{_after(sentence['afterMs']):>10}  {sentence['text']}\n")
    if explained["advice"]:
        out.write(f"\nWhat to do now: {explained['advice']}\n")


def order_id(text: str) -> UUID:
    """An order's id from the command line. Raises `argparse.ArgumentTypeError`."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an order's id") from None


def _after(ms: int) -> str:
    return f"+{ms} ms" if ms < 10_000 else f"+{ms / 1000:.1f} s"
