"""`python -m dexexec quote`: its options. `dexexec.cli.quote_venues` does the work."""

import argparse
import sys
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from dexexec.cli.numbers import integer

if TYPE_CHECKING:
    from dexexec.config.settings import Settings

MOST_SLIPPAGE_BPS = 5_000


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    quote = commands.add_parser(
        "quote",
        help="show what every enabled venue would pay",
        description="Get a quote from every enabled venue and compare them. Nothing is signed, and no key is needed.",
    )
    quote.add_argument("sell", metavar="SELL", help="the token to sell: a mint address, or the symbol of a known token")
    quote.add_argument("buy", metavar="BUY", help="the token to buy")
    quote.add_argument("amount", metavar="AMOUNT", help="the amount of SELL, such as 0.01; with --exact-out, of BUY")
    quote.add_argument("--exact-out", action="store_true", help="AMOUNT is the amount to buy")
    quote.add_argument(
        "--slippage-bps",
        type=integer(0, MOST_SLIPPAGE_BPS),
        default=None,
        metavar="N",
        help=f"the slippage limit, 0 to {MOST_SLIPPAGE_BPS} (default: $DEXEXEC_SLIPPAGE_BPS)",
    )
    quote.add_argument("--json", action="store_true", help="print JSON, with amounts in base units")


def run(options: argparse.Namespace, settings: "Settings", environ: Mapping[str, str]) -> Coroutine[Any, Any, int]:
    """Run the command; the exit code. Raises `StartupError`."""
    # Imported here, because --help should not wait for them.
    from dexexec.cli import quote_venues  # noqa: PLC0415
    from dexexec.observe.observer import Observer, make_logger  # noqa: PLC0415
    from dexexec.observe.redaction import Redactor  # noqa: PLC0415

    # Only errors are logged: the answer itself contains the warnings of nodes.
    observer = Observer(make_logger("error", settings.log_format, Redactor(environ)))
    question = quote_venues.Question(
        sell=options.sell,
        buy=options.buy,
        amount=options.amount,
        exact_out=options.exact_out,
        slippage_bps=options.slippage_bps,
    )
    return quote_venues.run(question, settings, environ, observer, sys.stdout, as_json=options.json)
