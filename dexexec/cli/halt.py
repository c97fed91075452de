"""`python -m dexexec halt` and `resume`: stop signing everywhere, for all orders or for those of one key, and go on.

Needs Postgres only, and works beside a running service or without one.
"""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.errors import StartupError

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.domain.halt import Halt
    from dexexec.store import Database

LONGEST_REASON = 200
BARRIER_SECONDS = 30.0
"""How long transactions of workers that had begun before are waited for. A worker that is frozen in one holds it until
Postgres ends its session."""


def add_parsers(commands: Any) -> None:
    """Add both commands and their options."""
    halt = commands.add_parser(
        "halt",
        help="stop signing, for all orders or those of one key",
        description="Stop signing everywhere. When the command has returned, no transaction is recorded or sent that "
        "was not recorded before. Orders wait; cancels, reads and dry runs go on. It holds over restarts until resume.",
    )
    halt.add_argument("--key", metavar="NAME", help="only for the orders of this key")
    halt.add_argument("--reason", metavar="TEXT", type=_reason, default="", help="shown to clients and operators")
    halt.add_argument("--list", action="store_true", help="only print for whom signing is halted")
    halt.add_argument("--json", action="store_true", help="print JSON")
    resume = commands.add_parser(
        "resume",
        help="let signing go on after halt",
        description="End a halt. Orders that waited because of it are executed, unless they have expired meanwhile.",
    )
    resume.add_argument("--key", metavar="NAME", help="end the halt of this key; without it, the one for everybody")
    resume.add_argument("--json", action="store_true", help="print JSON")


async def run(options: argparse.Namespace, servers: "Servers", out: TextIO) -> int:
    """Run the command; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.store import migrate  # noqa: PLC0415

    async with open_database(servers) as database:
        await migrate(database)
        if options.command == "resume":
            return await _resume(database, options, out)
        return await _list(database, options, out) if options.list else await _halt(database, options, out)


async def _halt(database: "Database", options: argparse.Namespace, out: TextIO) -> int:
    from dexexec.clock import SystemClock  # noqa: PLC0415
    from dexexec.store import halts  # noqa: PLC0415

    halt = await halts.halt(database, await _owner(database, options.key), options.reason)
    complete = await halts.wait_for_attempts(database, SystemClock(), BARRIER_SECONDS)
    if options.json:
        out.write(json.dumps({**_as_json(halt, options.key or ""), "complete": complete}) + "\n")
    else:
        out.write(f"signing is halted for {_whom(options.key)}\n")
    if not complete:
        print(  # noqa: T201
            f"dexexec: a transaction that began before is still open after {BARRIER_SECONDS:g} s: one more attempt may "
            "be recorded when it ends. Repeat the command, or end the worker that holds it",
            file=sys.stderr,
        )
    return 0 if complete else 1


async def _resume(database: "Database", options: argparse.Namespace, out: TextIO) -> int:
    from dexexec.store import halts  # noqa: PLC0415

    ended = await halts.resume(database, await _owner(database, options.key))
    left = [{"key": name or None} for _, name in await halts.read_named(database)]
    if options.json:
        out.write(json.dumps({"key": options.key, "ended": ended, "stillHalted": left}) + "\n")
        return 0
    whom = _whom(options.key)
    out.write(f"signing goes on for {whom}\n" if ended else f"signing was not halted for {whom}\n")
    for halt in left:
        out.write(f"it is still halted for {_whom(halt['key'])}\n")
    return 0


async def _list(database: "Database", options: argparse.Namespace, out: TextIO) -> int:
    """Print the halts. Returns 1 if there are any, else 0."""
    from dexexec.store import halts  # noqa: PLC0415

    found = await halts.read_named(database)
    if options.json:
        out.write(json.dumps([_as_json(halt, name) for halt, name in found]) + "\n")
    else:
        for halt, name in found:
            out.write(f"{name or 'everybody':<24} since {halt.since:%Y-%m-%d %H:%M:%S}  {halt.reason}\n")
        if not found:
            out.write("signing is halted for nobody\n")
    return 1 if found else 0


async def _owner(database: "Database", key: str | None) -> int:
    """The number of the key that the command is for. Raises `StartupError`."""
    from dexexec.domain.halt import EVERYBODY  # noqa: PLC0415
    from dexexec.store import halts  # noqa: PLC0415

    if key is None:
        return EVERYBODY
    owner = await halts.owner_of(database, key)
    if owner is None:
        raise StartupError(f"no key has the name {key!r}: python -m dexexec keys list shows them")
    return owner


def _as_json(halt: "Halt", name: str) -> dict[str, object]:
    from dexexec.domain.event import timestamp  # noqa: PLC0415

    return {"key": name or None, "since": timestamp(halt.since), "reason": halt.reason}


def _whom(key: object) -> str:
    return "everybody" if key is None else f"the key {key}"


def _reason(text: str) -> str:
    """An argument type for a reason: one printable line."""
    if len(text) > LONGEST_REASON or not text.isprintable():
        raise argparse.ArgumentTypeError(f"must be one line of up to {LONGEST_REASON} printable characters")
    return text
