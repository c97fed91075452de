"""`python -m dexexec quote` and `wallet`: their options. They look at venues and wallet; `wallet new` makes one."""

import argparse
import sys
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dexexec.config.settings import Settings

COMMANDS = frozenset({"quote", "wallet"})
MOST_SLIPPAGE_BPS = 5_000


def add_parser(commands: Any) -> None:
    """Describe the commands."""
    quote = commands.add_parser(
        "quote",
        help="what every enabled venue would give",
        description="Ask every enabled venue for a quote, side by side. Nothing is signed, and no key is needed.",
    )
    quote.add_argument("sell", metavar="SELL", help="what is sold: a mint, or the symbol of a known token")
    quote.add_argument("buy", metavar="BUY", help="what is bought")
    quote.add_argument("amount", metavar="AMOUNT", help="how much of SELL, such as 0.01; with --exact-out, of BUY")
    quote.add_argument("--exact-out", action="store_true", help="AMOUNT is what is bought")
    quote.add_argument(
        "--slippage-bps",
        type=_slippage,
        default=None,
        metavar="N",
        help=f"0 to {MOST_SLIPPAGE_BPS} (default: $DEXEXEC_SLIPPAGE_BPS)",
    )
    wallet = commands.add_parser(
        "wallet",
        help="the wallet's address and what it holds",
        description="Show the wallet's address, cluster and balances, and what it lacks to trade. Never its key.",
    )
    which = wallet.add_subparsers(dest="action", metavar="ACTION")
    which.add_parser("new", help="make a wallet and keep it in DEXEXEC_DATA_DIR", description="Make a new wallet.")
    for command in (quote, wallet):
        command.add_argument("--json", action="store_true", help="for machines, with amounts in base units")


def run(options: argparse.Namespace, settings: "Settings", environ: Mapping[str, str]) -> Coroutine[Any, Any, int]:
    """The command's work, which ends with its exit code and may raise `StartupError`."""
    # Imports stand where they are needed: --help should not wait for all of it.
    from dexexec.cli import quote, wallet  # noqa: PLC0415
    from dexexec.observe.observer import Observer, make_logger  # noqa: PLC0415
    from dexexec.observe.redaction import Redactor  # noqa: PLC0415

    # What nodes say stands in the answer.
    observer = Observer(make_logger("error", settings.log_format, Redactor(environ)))
    if options.command == "wallet" and options.action == "new":
        return wallet.make(settings, sys.stdout)
    if options.command == "wallet":
        return wallet.run(settings, environ, observer, sys.stdout, as_json=options.json)
    asked = quote.Question(
        sell=options.sell,
        buy=options.buy,
        amount=options.amount,
        exact_out=options.exact_out,
        slippage_bps=options.slippage_bps,
    )
    return quote.run(asked, settings, environ, observer, sys.stdout, as_json=options.json)


def _slippage(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) > MOST_SLIPPAGE_BPS:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 to {MOST_SLIPPAGE_BPS}")
    return int(text)
