"""`python -m dexexec adapters`: its options. `dexexec.cli.adapter_report` does the work."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dexexec.config.settings import Settings


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    adapters = commands.add_parser(
        "adapters",
        help="list the venue adapters, or check one",
        description="List the installed venue adapters, or run the contract suite on one.",
    )
    actions = adapters.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser(
        "list",
        help="list the installed adapters, and which of them are enabled",
        description="List the installed adapters and presets, and which of them are enabled.",
    )
    check = actions.add_parser(
        "check",
        help="run the contract suite and print a conformance report",
        description="Run the contract suite on an adapter and print a conformance report.",
    )
    check.add_argument("name", metavar="NAME", help="the name of an adapter or a preset, or package.module:Class")


def run(options: argparse.Namespace, settings: "Settings", environ: Mapping[str, str]) -> int:
    """Run the command; the exit code. Raises `StartupError`."""
    from dexexec.cli import adapter_report  # noqa: PLC0415 - --help should not wait for it

    if options.action == "list":
        return adapter_report.list_adapters(settings.adapters)
    return adapter_report.check_adapter(options.name, environ, settings)
