"""`python -m dexexec workers`: who executes orders. Workers are rows in Postgres."""

import argparse
import json
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.store.operator_lists import ListedWorker


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    workers = commands.add_parser(
        "workers",
        help="list workers, with their leases and the orders that they hold",
        description="List workers, with their leases and the orders that they hold. The exit code is 1 if none of them"
        " can execute orders.",
    )
    workers.add_argument("--json", action="store_true", help="print JSON")


async def list_workers(options: argparse.Namespace, servers: "Servers", out: TextIO) -> int:
    """Print the workers; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.api.overview import worker_json  # noqa: PLC0415 - --help should not wait for them
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415
    from dexexec.store import migrate, operator_lists  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        workers = await operator_lists.list_workers(database)
    if options.json:
        out.write(json.dumps({"workers": [worker_json(worker) for worker in workers]}, indent=2) + "\n")
    elif workers:
        head = ("ID", "NAME", "STATE", "AGE", "LEASE", "ORDERS", "OLDEST ORDER", "TROUBLE")
        write_aligned([head, *(_worker_cells(worker) for worker in workers)], out)
    else:
        out.write("no worker is registered\n")
    return 0 if any(worker.alive and not worker.trouble for worker in workers) else 1


def _worker_cells(worker: "ListedWorker") -> tuple[str, ...]:
    return (
        str(worker.id),
        worker.name,
        "alive" if worker.alive else "dead",
        _span(worker.age_seconds),
        f"{worker.lease_seconds:.0f} s" if worker.lease_seconds > 0 else "over",
        str(worker.orders),
        f"{worker.oldest:%Y-%m-%d %H:%M:%S}" if worker.oldest else "",
        worker.trouble,
    )


def _span(seconds: float) -> str:
    """A duration in its largest fitting unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
