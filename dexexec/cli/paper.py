"""`python -m dexexec paper`: what dry runs would have traded, per strategy tag. `paper_report` formats it.

Reads Postgres only, and may run beside the service.
"""

import argparse
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.domain.token import Tokens

THE_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    paper = commands.add_parser(
        "paper",
        help="add up dry runs per strategy tag",
        description="Add up the fills of dry runs per strategy tag, pair and side. Works beside a running service.",
    )
    paper.add_argument("--tag", metavar="TAG", help="only orders with this tag")
    paper.add_argument(
        "--since",
        metavar="TIME",
        type=point_in_time,
        default=THE_BEGINNING,
        help="only orders that ended since then: a date such as 2026-11-29 (UTC), or a time with its zone such as"
        " 2026-11-29T12:00:00Z",
    )
    paper.add_argument("--json", action="store_true", help="print JSON, with amounts in base units")


async def run(options: argparse.Namespace, servers: "Servers", tokens: "Tokens", out: TextIO) -> int:
    """Run the command; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.cli.paper_report import as_json, write_table  # noqa: PLC0415
    from dexexec.store import migrate  # noqa: PLC0415
    from dexexec.store.paper import read_paper  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        lines = await read_paper(database, options.since, options.tag)
    if options.json:
        out.write(as_json(lines, tokens) + "\n")
    else:
        write_table(lines, tokens, out)
    return 0


def point_in_time(text: str) -> datetime:
    """An argument type for a date (its beginning in UTC) or a time with a zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is not None and at.tzinfo is None and at.time() == time() and len(text) <= len("2026-11-29"):
        at = at.replace(tzinfo=UTC)
    if at is None or at.tzinfo is None:
        expected = "a date such as 2026-11-29, or a time with its zone such as 2026-11-29T12:00:00Z"
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return at
