"""`python -m dexexec demo`: its options. `dexexec.demo` does the work."""

import argparse
from typing import TYPE_CHECKING, Any

from dexexec.cli.numbers import integer, positive_seconds
from dexexec.demo.kinds import Kind

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
    demo.add_argument(
        "--type",
        choices=[kind.value for kind in Kind],
        default=Kind.MARKET.value,
        help="the kind of orders (default: market). Of the others some are filled, and some expire",
    )
    demo.add_argument("--dry-run", action="store_true", help="simulate the orders only: nothing is signed or sent")
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

    url = options.url or f"http://127.0.0.1:{settings.port}"
    token = settings.api_key.get_secret_value() if settings.api_key else None
    return demo.main(
        url, options.orders, options.timeout, kind=Kind(options.type), dry_run=options.dry_run, token=token
    )
