"""`python -m dexexec venues`: the state of each venue in a running service, and what is warm and why.

The state of venues (circuit breakers, latencies, watched pools) is in the memory of each process, so it is requested
from a running one.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.errors import StartupError

if TYPE_CHECKING:
    from dexexec.client import AsyncClient
    from dexexec.client.answers import Venues
    from dexexec.config.settings import Settings

ANSWER_SECONDS = 10.0
"""How long to wait for an answer. A process without a worker opens the venues at the first request."""
WATCH_SECONDS = 1.0
"""Between two requests with `--watch`."""
CLEAR = "\x1b[H\x1b[2J"
"""Puts the cursor of a terminal into the first place, and clears the screen."""
KIB = 1024


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    venues = commands.add_parser(
        "venues",
        help="show the state of each venue in a running service, and which pools are in memory",
        description="Show the state of each venue in a running service: circuit breaker, errors, latency, wins; and"
        " which of its pools are in memory, or why not. A key is read from DEXEXEC_API_KEY. The exit code is 1 if no"
        " venue can be used.",
    )
    venues.add_argument("--url", default=None, help="the service (default: http://127.0.0.1:$PORT)")
    venues.add_argument("--json", action="store_true", help="print JSON, as GET /api/venues returns it")
    venues.add_argument("--watch", action="store_true", help="print it again every second, until Ctrl-C")


async def show_venues(options: argparse.Namespace, settings: "Settings", out: TextIO) -> int:
    """Print the venues of a running service; the exit code. Raises `StartupError` if it cannot be reached."""
    from dexexec.client import AsyncClient  # noqa: PLC0415 - --help should not wait for it

    url = options.url or f"http://127.0.0.1:{settings.port}"
    try:
        # Shorter than a program's patience: an operator looks at a service that may be in trouble.
        client = AsyncClient(url, timeout=ANSWER_SECONDS)
    except ValueError as error:
        raise _unreachable(url, error) from error
    async with client:
        # The first answer decides whether there is a service at all; later ones may fail for a while.
        code = await _show_once(client, url, options, out)
        while options.watch:
            out.flush()
            await asyncio.sleep(WATCH_SECONDS)
            try:
                code = await _show_once(client, url, options, out)
            except StartupError as error:
                # The service may be restarting: what is watched goes on with the next answer.
                out.write(f"{error}\n")
        return code


async def _show_once(client: "AsyncClient", url: str, options: argparse.Namespace, out: TextIO) -> int:
    from dexexec.client import ClientError  # noqa: PLC0415

    try:
        venues = await client.venues()
    except ClientError as error:
        raise _unreachable(url, error) from error
    if options.json:
        # One document per line while watching, so that a program can read each by itself.
        out.write(json.dumps(venues.data, indent=None if options.watch else 2) + "\n")
    else:
        out.write(CLEAR if options.watch and out.isatty() else "")
        _write_tables(venues, out)
    return 0 if any(venue.breaker != "open" for venue in venues) else 1


def _write_tables(venues: "Venues", out: TextIO) -> None:
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415

    if not venues:
        out.write("no venue is enabled\n")
        return
    head = ("VENUE", "NETWORK", "BREAKER", "ANSWERS", "ERRORS", "P50 MS", "P99 MS", "WINS", "LAST ERROR")
    write_aligned([head, *(_venue_cells(venue.data) for venue in venues)], out)
    chains = _listed(venues.data, "chains")
    endpoints = _listed(venues.data, "endpoints")
    if chains:
        out.write("\n")
        watched = ("CHAIN", "STATE", "NODE", "SLOT", "AGE MS", "ACCOUNTS", "NOTIFIED/S", "KIB", "FROM MEMORY", "GAPS")
        write_aligned([watched, *(_chain_cells(chain) for chain in chains)], out)
        for chain in chains:
            for name, text in (("the last gap", chain["lastGap"]), ("refused", chain["refused"])):
                out.write(f"{chain['network']}: {name}: {text}\n" if text else "")
    if endpoints:
        out.write("\n")
        sent = ("ENDPOINT", "ATTEMPTS", "ACCEPTED", "LANDED", "LAND RATE", "SLOTS P50", "SLOTS P90")
        write_aligned([sent, *(_endpoint_cells(endpoint) for endpoint in endpoints)], out)
    pools = [_pool_cells(venue.venue, pool) for venue in venues for pool in _listed(venue.data, "pools")]
    if pools:
        out.write("\n")
        pool_head = ("VENUE", "POOL", "STATE", "ACCOUNTS", "AGE IN SLOTS", "NOTIFIED/S", "KIB")
        write_aligned([pool_head, *pools], out)


def _listed(document: Mapping[str, Any], name: str) -> list[Any]:
    """The objects of a list; none from a service of an earlier version."""
    return list(document.get(name) or ())


def _venue_cells(venue: Mapping[str, Any]) -> tuple[str, ...]:
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


def _chain_cells(chain: Mapping[str, Any]) -> tuple[str, ...]:
    reads = chain["fromMemory"] + chain["fromNode"]
    return (
        str(chain["network"]),
        _state(chain),
        str(chain["node"] or ""),
        str(chain["slot"]),
        _number(chain["ageMs"]),
        f"{chain['subscribed']} of {chain['watched']}, at most {chain['limit']}",
        _number(chain["notificationsPerSecond"]),
        _kib(chain["bytes"]),
        f"{chain['fromMemory']} of {reads}",
        str(chain["gaps"]),
    )


def _endpoint_cells(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    slots = endpoint["landingSlots"]
    return (
        f"{endpoint['endpoint']}{' (send only)' if endpoint['sendOnly'] else ''}",
        *(str(endpoint[name]) for name in ("attempts", "accepted", "landed")),
        _percent(endpoint["landRate"]),
        _number(slots["p50"]),
        _number(slots["p90"]),
    )


def _pool_cells(venue: str, pool: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        venue,
        str(pool["address"]),
        _state(pool),
        str(pool["accounts"]),
        str(pool["ageSlots"]),
        _number(pool["notificationsPerSecond"]),
        _kib(pool["bytes"]),
    )


def _state(value: Mapping[str, Any]) -> str:
    return "warm" if value["warm"] else f"cold: {value['cold']}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _kib(size: int) -> str:
    return f"{size / KIB:.1f}"


def _unreachable(url: str, error: Exception) -> StartupError:
    return StartupError(f"the service at {url} does not show its venues: {error}")
