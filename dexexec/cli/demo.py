"""`python -m dexexec demo`: its options. `dexexec.demo` does the work."""

import argparse
from typing import TYPE_CHECKING, Any

from dexexec.cli.numbers import integer, positive_seconds

if TYPE_CHECKING:
    from dexexec.config.settings import Settings


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    demo = commands.add_parser(
        "demo",
        help="post orders to a running server and watch them",
        description="Post orders to a running server and watch them live.",
    )
    demo.add_argument(
        "--orders", type=integer(1, 5_000), default=10, metavar="N", help="how many orders, 1 to 5000 (default: 10)"
    )
    demo.add_argument("--url", default=None, help="the server (default: http://127.0.0.1:$PORT)")
    demo.add_argument(
        "--timeout",
        type=positive_seconds,
        default=120.0,
        metavar="S",
        help="the longest duration of the demo in seconds (default: 120)",
    )


def run(options: argparse.Namespace, settings: "Settings") -> int:
    """Run the command; the exit code. Raises `StartupError`."""
    from dexexec.demo import run as demo  # noqa: PLC0415 - --help should not wait for it

    return demo.main(options.url or f"http://127.0.0.1:{settings.port}", options.orders, options.timeout)
