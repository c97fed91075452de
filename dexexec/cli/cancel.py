"""`python -m dexexec cancel`: cancels one, some or all orders in the record, beside a running service or without one.

It needs Postgres only: no API, no worker, no Redis and no venue.
"""

import argparse
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.cli.explain import order_id

if TYPE_CHECKING:
    from uuid import UUID

    from dexexec.bootstrap.servers import Servers
    from dexexec.domain.cancellation import Selection
    from dexexec.domain.token import Tokens
    from dexexec.store import Store


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "cancel",
        help="cancel orders: some, all that wait, or all that have not ended",
        description="Cancel orders that nothing was signed for. Works beside a running service, and without one. The "
        "exit code is 1 if it is too late for one of them.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", metavar="ID", nargs="*", type=order_id, default=[], help="an orderId")
    which.add_argument("--waiting", action="store_true", help="all orders that wait for a price, a time or a launch")
    which.add_argument("--all", action="store_true", help="all orders that have not ended")
    parser.add_argument("--pair", metavar="IN/OUT", help="only with inputMint IN and outputMint OUT (mints or symbols)")
    parser.add_argument("--tag", help="only with this tag")


async def run(options: argparse.Namespace, servers: "Servers", tokens: "Tokens", out: TextIO) -> int:
    """The command's work; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for them
    from dexexec.clock import SystemClock  # noqa: PLC0415
    from dexexec.store import Store, migrate  # noqa: PLC0415

    selection = _selection(options, tokens)
    async with open_database(servers) as database:
        await migrate(database)
        # Events are not announced: the service's sockets find them in Postgres within two seconds.
        store = Store(database, lambda _: None, SystemClock())
        if selection is None:
            return await cancel_some(store, options.ids, out)
        return await cancel_all(store, selection, out)


async def cancel_some(store: "Store", order_ids: "list[UUID]", out: TextIO) -> int:
    """Cancel the orders one after another, with a line for each."""
    from dexexec.domain.cancellation import Cancelled  # noqa: PLC0415

    failed = False
    for one in order_ids:
        answer = await store.cancel(one)
        if isinstance(answer, Cancelled):
            out.write(f"{one}  cancelled\n")
            continue
        failed = True
        if answer is None:
            out.write(f"{one}  no such order\n")
        elif answer.ended or answer.attempt is None:
            out.write(f"{one}  too late: it is {answer.status}\n")
        else:
            signed = f"attempt {answer.attempt['attempt']} is signed ({answer.attempt['outcome']})"
            out.write(f"{one}  too late: {signed}, the order goes on\n")
    return 1 if failed else 0


async def cancel_all(store: "Store", selection: "Selection", out: TextIO) -> int:
    """Cancel all orders of a selection and print how many. Raises `StartupError` if that was interrupted."""
    from dexexec.errors import PartlyCancelledError, StartupError  # noqa: PLC0415

    try:
        answer = await store.cancel_all(selection)
    except PartlyCancelledError as error:
        raise StartupError(str(error)) from error
    out.write(f"{answer.cancelled} cancelled\n")
    if answer.too_late:
        out.write(f"{answer.too_late} too late: a transaction is signed for each, and may land\n")
    return 1 if answer.too_late else 0


def _selection(options: argparse.Namespace, tokens: "Tokens") -> "Selection | None":
    """The selection of the options; None if orders are named. Raises `StartupError`."""
    from dexexec.api.cancel_selection import read_selection  # noqa: PLC0415
    from dexexec.errors import InvalidQueryError, StartupError  # noqa: PLC0415

    narrowed = {name: value for name in ("pair", "tag") if (value := getattr(options, name)) is not None}
    if options.ids:
        if narrowed:
            raise StartupError(f"--{next(iter(narrowed))} has no meaning beside orders that are named: leave it out")
        return None
    try:
        return read_selection({"status": "open" if options.all else "waiting", **narrowed}, tokens)
    except InvalidQueryError as error:
        [problem, *_] = error.fields
        raise StartupError(f"--{problem.field} {problem.problem}: it must be {problem.expected}") from None
