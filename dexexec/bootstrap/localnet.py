"""`python -m dexexec localnet`: its options, and the one line for those who have not installed what it needs."""

import argparse
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dexexec.bootstrap.shutdown import StopRequest
from dexexec.errors import StartupError, install_hint

if TYPE_CHECKING:
    from dexexec.localnet.command import RunningLocalnet

FOLDER = "localnet"
RPC_PORT = 8899
SLOT_MS = 400


def add_parser(commands: Any) -> None:
    """Describe the command."""
    localnet = commands.add_parser(
        "localnet",
        help="a Solana to develop against",
        description="A Solana on this machine: JSON-RPC and WebSocket on 127.0.0.1, kept on disk.",
    )
    localnet.add_argument(
        "--port", type=_port, default=RPC_PORT, metavar="N", help=f"JSON-RPC; 0 picks a free one (default: {RPC_PORT})"
    )
    localnet.add_argument(
        "--ws-port", type=_port, default=None, metavar="N", help="WebSocket (default: the one after --port)"
    )
    localnet.add_argument(
        "--data-dir", type=Path, default=None, metavar="DIR", help=f"the ledger (default: $DEXEXEC_DATA_DIR/{FOLDER})"
    )
    localnet.add_argument(
        "--slot-ms", type=_milliseconds, default=SLOT_MS, metavar="N", help=f"length of a slot (default: {SLOT_MS})"
    )
    localnet.add_argument(
        "--program", action="append", default=[], metavar="ID=FILE", help="deploy a program from its ELF file"
    )
    localnet.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="PUBKEY=FILE",
        help="an account, as `solana account` writes it",
    )
    localnet.add_argument(
        "--allow-faults", action="store_true", help="let tests make it misbehave; allows --slot-ms 0, a clock by hand"
    )


async def serve(
    options: argparse.Namespace, data_folder: Callable[[], Path], stopping: StopRequest, say: Callable[[str], None]
) -> None:
    """Run it until the process is asked to stop. Raises `StartupError`."""
    command = _command()
    if options.slot_ms == 0 and not options.allow_faults:
        raise StartupError(
            "--slot-ms 0 stops the clock, which only --allow-faults can then move: give both, or neither"
        )
    read = command.Options(
        folder=(options.data_dir or data_folder() / FOLDER).absolute(),
        port=options.port,
        ws_port=options.ws_port if options.ws_port is not None else (options.port and options.port + 1) % 65_536,
        slot_ms=options.slot_ms,
        programs=options.program,
        accounts=options.account,
        allow_faults=options.allow_faults,
    )
    with stopping.event() as stop:
        await command.serve(read, stop, say)


@asynccontextmanager
async def alongside(data_dir: Path) -> AsyncIterator["RunningLocalnet"]:
    """A localnet with the default options beside the service, on the usual port or on a free one where that is taken.
    Raises `StartupError`."""
    command = _command()
    port = RPC_PORT if _free(RPC_PORT) and _free(RPC_PORT + 1) else 0
    options = command.Options(data_dir / FOLDER, port, port and port + 1, SLOT_MS, (), (), allow_faults=False)
    async with command.running(options) as localnet:
        yield localnet


def usual_url() -> str:
    """Where one is unless it was told otherwise: also the one of the all-in-one start, where the port was free."""
    return f"http://127.0.0.1:{RPC_PORT}"


def _command() -> ModuleType:
    try:
        from dexexec.localnet import command  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("solders"):
            raise
        raise StartupError(f"localnet needs the solana extra: {install_hint('solana')}") from error
    return command


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _port(text: str) -> int:
    return _integer(text, 65_535, "a port, 0 to 65535")


def _milliseconds(text: str) -> int:
    return _integer(text, 60_000, "an integer from 0 to 60000")


def _integer(text: str, most: int, what: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text[:9]) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return int(text)
