"""`python -m dexexec adapters`: its options. `dexexec.cli.adapter_report` does the work of `list` and `check`.

`accept` ends the quarantine of a venue. It needs Postgres only, and works beside a running service or without one.
"""

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
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
    accept = actions.add_parser(
        "accept",
        help="let a venue trade on its upgraded program",
        description="End the quarantine of a venue whose program was upgraded, without waiting for simulated swaps to "
        "confirm its quotes. It holds for the code that is deployed now: another upgrade quarantines the venue again.",
    )
    accept.add_argument("name", metavar="NAME", help="the name of the venue")
    accept.add_argument("--json", action="store_true", help="print JSON")


async def accept(options: argparse.Namespace, servers: "Servers", out: TextIO) -> int:
    """Run `adapters accept`; the exit code: 0, or 1 if the venue was not quarantined. Raises `StartupError` for a venue
    of which no program is known, and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.errors import StartupError  # noqa: PLC0415
    from dexexec.store import ProgramVersions, migrate  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        accepted = await ProgramVersions(database).accept_all(options.name, "adapters accept")
    if accepted is None:
        raise StartupError(
            f"no program of a venue {options.name!r} is known: a worker that has the venue records its programs"
        )
    if options.json:
        programs = [{"program": program, "sha256": sha256} for program, sha256 in accepted]
        out.write(json.dumps({"venue": options.name, "accepted": programs}) + "\n")
    else:
        for program, sha256 in accepted:
            out.write(f"{options.name} trades again on {program} with the code {sha256[:16] or 'none'}\n")
        if not accepted:
            out.write(f"{options.name} was not quarantined\n")
    return 0 if accepted else 1


def run(options: argparse.Namespace, settings: "Settings", environ: Mapping[str, str]) -> int:
    """Run the command; the exit code. Raises `StartupError`."""
    from dexexec.cli import adapter_report  # noqa: PLC0415 - --help should not wait for it

    if options.action == "list":
        return adapter_report.list_adapters(settings.adapters)
    return adapter_report.check_adapter(options.name, environ, settings)
