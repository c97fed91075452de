"""`python -m dexexec localnet`: its options. `dexexec.localnet.command` does the work."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dexexec.bootstrap.localnet import FOLDER, RPC_PORT, load_command
from dexexec.bootstrap.shutdown import StopRequest
from dexexec.cli.numbers import integer
from dexexec.errors import StartupError
from dexexec.localnet.blocks import LAMPORTS_PER_BYTE, SLOT_MS, Consensus

_port = integer(0, 65_535, "a port, 0 to 65535")


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    localnet = commands.add_parser(
        "localnet",
        help="run a local Solana for development",
        description="Run a Solana on this machine: JSON-RPC and WebSocket on 127.0.0.1, with its ledger on disk.",
    )
    localnet.add_argument(
        "--port",
        type=_port,
        default=RPC_PORT,
        metavar="N",
        help=f"the JSON-RPC port; 0 picks a free one (default: {RPC_PORT})",
    )
    localnet.add_argument(
        "--ws-port", type=_port, default=None, metavar="N", help="the WebSocket port (default: --port plus 1)"
    )
    localnet.add_argument(
        "--data-dir",
        type=Path,
        default=None,
        metavar="DIR",
        help=f"the folder of the ledger (default: $DEXEXEC_DATA_DIR/{FOLDER})",
    )
    localnet.add_argument(
        "--slot-ms",
        type=integer(0, 60_000),
        default=None,
        metavar="N",
        help="the length of a slot in milliseconds"
        f" (default: {SLOT_MS[Consensus.ALPENGLOW]}, with tower {SLOT_MS[Consensus.TOWER]})",
    )
    localnet.add_argument(
        "--consensus",
        type=Consensus,
        choices=list(Consensus),
        default=Consensus.ALPENGLOW,
        metavar="|".join(Consensus),
        help=f"how blocks become final (default: {Consensus.ALPENGLOW})",
    )
    localnet.add_argument(
        "--lamports-per-byte",
        type=integer(1, 1_000_000),
        default=LAMPORTS_PER_BYTE,
        metavar="N",
        help=f"the rent of accounts (default: {LAMPORTS_PER_BYTE})",
    )
    localnet.add_argument(
        "--program", action="append", default=[], metavar="ID=FILE", help="deploy a program from its ELF file"
    )
    localnet.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="PUBKEY=FILE",
        help="load an account from a file that `solana account` has written",
    )
    localnet.add_argument(
        "--allow-faults",
        action="store_true",
        help="let tests inject faults; also allows --slot-ms 0, where tests advance the clock",
    )


async def serve(
    options: argparse.Namespace, data_folder: Callable[[], Path], stopping: StopRequest, say: Callable[[str], None]
) -> None:
    """Run a localnet until the process is stopped. `say` prints its address. Raises `StartupError`."""
    command = load_command()
    if options.slot_ms == 0 and not options.allow_faults:
        raise StartupError("--slot-ms 0 stops the clock, and only --allow-faults can advance it: give both, or neither")
    # Port 0 means "any free port" for the WebSocket too, so it is not incremented.
    default_ws_port = (options.port + 1) % 65_536 if options.port else 0
    command_options = command.Options(
        folder=(options.data_dir or data_folder() / FOLDER).absolute(),
        port=options.port,
        ws_port=default_ws_port if options.ws_port is None else options.ws_port,
        slot_ms=SLOT_MS[options.consensus] if options.slot_ms is None else options.slot_ms,
        consensus=options.consensus,
        lamports_per_byte=options.lamports_per_byte,
        programs=options.program,
        accounts=options.account,
        allow_faults=options.allow_faults,
    )
    with stopping.event() as stop:
        await command.serve(command_options, stop, say)
