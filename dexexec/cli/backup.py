"""`python -m dexexec backup FILE` and `restore FILE`: the whole record in one file, and back into an empty schema.

`backup` may run while orders are executed. Both need Postgres only, and no program of it.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.store import Database

Print = Callable[[str], None]


def add_parsers(commands: Any) -> None:
    """Describe both commands."""
    backup = commands.add_parser(
        "backup",
        help="write the whole record to a file",
        description="Write the whole record, as of one moment, to a file that only you can read. Works beside a running"
        " service. The file has signed transactions and the digests of keys: keep it like a wallet.",
    )
    backup.add_argument("file", metavar="FILE", type=Path, help="a new file; nothing is replaced")
    restore = commands.add_parser(
        "restore",
        help="restore a backup into an empty schema",
        description="Restore a backup into an empty schema, completely or not at all. Stop all workers of the original"
        " first. Before a restored service signs anything, it compares the record with the chain.",
    )
    restore.add_argument("file", metavar="FILE", type=Path, help="a file that `backup` wrote")


async def run(options: argparse.Namespace, servers: "Servers", print_text: Print) -> int:
    """Run the command; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it

    async with open_database(servers) as database:
        if options.command == "backup":
            return await _back_up(database, options.file, print_text)
        return await _restore(database, options.file, print_text)


async def _back_up(database: "Database", path: Path, print_text: Print) -> int:
    from dexexec.backup.record_copy import back_up  # noqa: PLC0415

    manifest = await back_up(database, path, _report)
    rows = sum(entry.rows for entry in manifest.tables)
    print_text(f"{path}: {rows} rows of {len(manifest.tables)} tables, as of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC")
    return 0


async def _restore(database: "Database", path: Path, print_text: Print) -> int:
    from dexexec.backup.record_copy import restore  # noqa: PLC0415

    restored = await restore(database, path, _report)
    print_text(
        f"{restored.orders} orders are restored into the schema {database.address.schema}, as of"
        f" {restored.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC; {restored.open} of them have not ended.\n"
        "Keys that were revoked since then are valid again, and halts of since then are gone: repeat them now."
        "\nThen start the service. Workers sign nothing before they have compared the record with the chain."
    )
    return 0


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
