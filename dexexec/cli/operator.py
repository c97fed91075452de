"""`python -m dexexec workers` and `venues`: who executes orders, and where.

Workers are rows in Postgres. The state of venues (circuit breakers, latencies) is in the memory of each process, so
`venues` requests it from a running one.
"""

import argparse
import json
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dexexec.bootstrap.servers import Servers
    from dexexec.config.settings import Settings
    from dexexec.store.operator_lists import ListedWorker

VENUES_SECONDS = 10.0
"""How long `venues` waits for an answer. A process without a worker opens the venues at the first request."""


def add_parsers(commands: Any) -> None:
    """Add both commands and their options."""
    workers = commands.add_parser(
        "workers",
        help="list workers, with their leases and the orders that they hold",
        description="List workers, with their leases and the orders that they hold. The exit code is 1 if none of them"
        " can execute orders.",
    )
    workers.add_argument("--json", action="store_true", help="print JSON")
    venues = commands.add_parser(
        "venues",
        help="show the state of each venue in a running service",
        description="Show the state of each venue in a running service: circuit breaker, errors, latency, wins. A key"
        " is read from DEXEXEC_API_KEY. The exit code is 1 if no venue can be used.",
    )
    venues.add_argument("--url", default=None, help="the service (default: http://127.0.0.1:$PORT)")
    venues.add_argument("--json", action="store_true", help="print JSON, as GET /api/venues returns it")


async def list_workers(options: argparse.Namespace, servers: "Servers", out: TextIO) -> int:
    """Print the workers; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for them
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415
    from dexexec.store import migrate, operator_lists  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        workers = await operator_lists.list_workers(database)
    if options.json:
        out.write(json.dumps({"workers": [_worker_json(worker) for worker in workers]}, indent=2) + "\n")
    elif workers:
        head = ("ID", "NAME", "STATE", "AGE", "LEASE", "ORDERS", "OLDEST ORDER", "TROUBLE")
        write_aligned([head, *(_worker_cells(worker) for worker in workers)], out)
    else:
        out.write("no worker is registered\n")
    return 0 if any(worker.alive and not worker.trouble for worker in workers) else 1


async def show_venues(options: argparse.Namespace, settings: "Settings", out: TextIO) -> int:
    """Print the venues of a running service; the exit code. Raises `StartupError`."""
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415
    from dexexec.client import AsyncClient, ClientError  # noqa: PLC0415

    url = options.url or f"http://127.0.0.1:{settings.port}"
    # Shorter than a program's patience: an operator looks at a service that may be in trouble.
    try:
        async with AsyncClient(url, timeout=VENUES_SECONDS) as client:
            venues = [venue.data for venue in await client.venues()]
    except (ClientError, ValueError) as error:
        raise StartupError(f"the service at {url} does not show its venues: {error}") from error
    if options.json:
        out.write(json.dumps({"venues": venues}, indent=2) + "\n")
    elif venues:
        head = ("VENUE", "NETWORK", "BREAKER", "ANSWERS", "ERRORS", "P50 MS", "P99 MS", "WINS", "LAST ERROR")
        write_aligned([head, *(_venue_cells(venue) for venue in venues)], out)
    else:
        out.write("no venue is enabled\n")
    return 0 if any(venue["breaker"] != "open" for venue in venues) else 1


def _worker_json(worker: "ListedWorker") -> dict[str, object]:
    from dexexec.domain.event import timestamp  # noqa: PLC0415

    return {
        "id": worker.id,
        "name": worker.name,
        "alive": worker.alive,
        "trouble": worker.trouble or None,
        "startedAt": timestamp(worker.started_at),
        "leaseUntil": timestamp(worker.lease_until),
        "orders": worker.orders,
        "oldestOrderAt": worker.oldest and timestamp(worker.oldest),
    }


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


def _venue_cells(venue: "Mapping[str, Any]") -> tuple[str, ...]:
    latency = venue["latencyMs"]
    opened = f" {venue['breakerOpenMs'] / 1000:.0f} s" if venue["breaker"] == "open" else ""
    return (
        str(venue["venue"]),
        str(venue["network"]),
        f"{venue['breaker']}{opened}",
        str(venue["answers"]),
        _percent(venue["errorRate"]),
        _number(latency["p50"]),
        _number(latency["p99"]),
        _percent(venue["winShare"]),
        str(venue["lastError"] or ""),
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _span(seconds: float) -> str:
    """A duration in its largest fitting unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
