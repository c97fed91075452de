"""`python -m dexexec wallet` and `wallet new`: their options. `dexexec.cli.wallet_report` does the work."""

import argparse
import sys
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dexexec.config.settings import Settings


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    wallet = commands.add_parser(
        "wallet",
        help="show the wallet's address and balances, or create a wallet",
        description="Show the wallet's address, cluster and balances, and what it lacks for trading. The key is never"
        " shown.",
    )
    actions = wallet.add_subparsers(dest="action", metavar="[ACTION]")
    actions.add_parser(
        "new", help="create a wallet in DEXEXEC_DATA_DIR", description="Create a wallet in DEXEXEC_DATA_DIR."
    )
    wallet.add_argument("--json", action="store_true", help="print JSON, with amounts in base units")


def run(options: argparse.Namespace, settings: "Settings", environ: Mapping[str, str]) -> Coroutine[Any, Any, int]:
    """Run the command; the exit code. Raises `StartupError`."""
    # Imported here, because --help should not wait for them.
    from dexexec.cli import wallet_report  # noqa: PLC0415
    from dexexec.observe.observer import Observer, make_logger  # noqa: PLC0415
    from dexexec.observe.redaction import Redactor  # noqa: PLC0415

    if options.action == "new":
        return wallet_report.create_wallet(settings, sys.stdout)
    # Only errors are logged: the answer itself contains the warnings of nodes.
    observer = Observer(make_logger("error", settings.log_format, Redactor(environ)))
    return wallet_report.run(settings, environ, observer, sys.stdout, as_json=options.json)
