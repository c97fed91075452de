"""Starts a localnet beside the all-in-one service, and names what is missing where it is not installed."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dexexec.errors import StartupError, install_hint

if TYPE_CHECKING:
    from dexexec.localnet.command import RunningLocalnet

FOLDER = "localnet"
RPC_PORT = 8899


@asynccontextmanager
async def alongside(data_dir: Path) -> AsyncIterator["RunningLocalnet"]:
    """Run a localnet with default options beside the service. It uses the default port, or a free one if that is taken.
    Raises `StartupError`."""
    command = load_command()
    from dexexec.localnet.blocks import SLOT_MS, Consensus  # noqa: PLC0415 - like the command, only where it runs

    port = RPC_PORT if _free(RPC_PORT) and _free(RPC_PORT + 1) else 0
    options = command.Options(
        folder=data_dir / FOLDER,
        port=port,
        ws_port=port and port + 1,
        slot_ms=SLOT_MS[Consensus.ALPENGLOW],
        consensus=Consensus.ALPENGLOW,
        programs=(),
        accounts=(),
        allow_faults=False,
    )
    async with command.running(options) as localnet:
        yield localnet


def default_url() -> str:
    """The URL of a localnet on the default port. The all-in-one start uses that port too, if it was free."""
    return f"http://127.0.0.1:{RPC_PORT}"


def load_command() -> ModuleType:
    """The localnet's module. It is imported on use, since it needs the `solana` extra. Raises `StartupError`."""
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
