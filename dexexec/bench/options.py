"""The options of `python -m dexexec bench`, apart from all that it needs to run."""

import argparse
from pathlib import Path
from typing import Any

from dexexec.bench.plan import PARTS


def add_parser(commands: Any) -> None:
    """Describe the command."""
    bench = commands.add_parser(
        "bench",
        help="how fast it is on this machine",
        description="Measure the service in processes of its own, on a record of its own that is removed at the end.",
    )
    bench.add_argument(
        "--only", type=_parts, default=(), metavar="PARTS", help=f"some parts, by comma: {', '.join(PARTS)}"
    )
    bench.add_argument("--quick", action="store_true", help="a short form, about a minute")
    bench.add_argument("--url", default=None, help="measure what runs there: this service or another of the same API")
    bench.add_argument("--json", type=Path, default=None, metavar="FILE", help="write JSON as well; - for stdout")


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is no part: there are {', '.join(PARTS)}")
    return names
