"""The options of `python -m dexexec bench`. Separate from `command`, so that `--help` imports little."""

import argparse
from pathlib import Path
from typing import Any

from dexexec.bench.profile import PARTS

MAX_RTT_MS = 5_000


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    bench = commands.add_parser(
        "bench",
        help="measure the speed of the service on this machine",
        description="Measure the service on this machine. It starts its own service processes and creates its own "
        "database, which it removes at the end. docs/BENCHMARKS.md explains the figures.",
    )
    bench.add_argument(
        "--only",
        type=_parts,
        default=(),
        metavar="PARTS",
        help=f"run only these, separated by commas: {', '.join(PARTS)}",
    )
    bench.add_argument("--quick", action="store_true", help="run a short form, which takes about a minute")
    bench.add_argument(
        "--url", default=None, help="measure the server at this URL: this service, or another with the same API"
    )
    bench.add_argument(
        "--rtt-ms",
        type=_milliseconds,
        default=None,
        metavar="LIST",
        help="the part venues: how far away the node is, round trip times in ms by comma (default: 0,30,100,300)",
    )
    bench.add_argument("--json", type=Path, default=None, metavar="FILE", help="also write JSON to FILE (- for stdout)")


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        problem = f"unknown part: {', '.join(unknown)}" if unknown else "no part given"
        raise argparse.ArgumentTypeError(f"{problem} (choose from {', '.join(PARTS)})")
    return names


def _milliseconds(text: str) -> tuple[int, ...]:
    values = [value.strip() for value in text.split(",")]
    if not all(value.isdecimal() and int(value) <= MAX_RTT_MS for value in values):
        raise argparse.ArgumentTypeError(f"must be whole numbers of 0 to {MAX_RTT_MS} ms, separated by commas")
    return tuple(dict.fromkeys(map(int, values)))
