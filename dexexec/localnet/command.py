"""Runs `python -m dexexec localnet` with its parsed options: builds all parts and serves until it is stopped."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tornado.netutil import bind_sockets

from dexexec.errors import StartupError
from dexexec.localnet.blocks import LAMPORTS_PER_BYTE, Consensus
from dexexec.localnet.fixtures import read_account, read_program
from dexexec.localnet.journal import Journal
from dexexec.localnet.ledger import Ledger
from dexexec.localnet.rpc.server import Cluster, make_server
from dexexec.localnet.runtime import Runtime

HOST = "127.0.0.1"
"""Loopback only: every client can take any amount of its coins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line. Port 0 picks a free port; with `slot_ms` 0 only `localnet_advanceSlots` makes slots."""

    folder: Path
    port: int
    ws_port: int
    slot_ms: int
    consensus: Consensus
    lamports_per_byte: int = LAMPORTS_PER_BYTE
    programs: Sequence[str]
    accounts: Sequence[str]
    allow_faults: bool


@dataclass(frozen=True, slots=True)
class RunningLocalnet:
    """A localnet that serves. `clock` never ends by itself: when it is done, it has failed."""

    url: str
    banner: str
    clock: "asyncio.Future[None]"

    async def watch(self) -> None:
        """Waits until the clock fails, and raises its error."""
        await asyncio.shield(self.clock)


async def serve(options: Options, stop: asyncio.Event, show: Callable[[str], None]) -> None:
    """Serves until `stop`. Raises `StartupError` if it cannot start."""
    async with running(options) as localnet:
        show(localnet.banner)
        # A failed clock stops the command too, and its error is raised.
        localnet.clock.add_done_callback(lambda _: stop.set())
        await stop.wait()
        if localnet.clock.done():
            localnet.clock.result()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[RunningLocalnet]:
    """A localnet for the duration of the block. Raises `StartupError` if it cannot start."""
    # The ports first: if one is taken, no ledger is created.
    with _listening(options) as (rpc, ws), closing(Journal(options.folder)) as journal:
        ledger = Ledger(journal, Runtime(options.lamports_per_byte), time.time, consensus=options.consensus)
        notes = _load(ledger, options)
        port = rpc.getsockname()[1]
        ws_port = ws.getsockname()[1]
        cluster = Cluster(
            ledger,
            allow_faults=options.allow_faults,
            rpc_address=f"{HOST}:{port}",
            pubsub_address=f"{HOST}:{ws_port}",
        )
        server = make_server(cluster)
        server.add_sockets([rpc, ws])
        clock = asyncio.create_task(_clock(ledger, options.slot_ms / 1000))
        try:
            banner = "\n".join([*notes, _banner(options, journal, ledger, port, ws_port)])
            yield RunningLocalnet(f"http://{HOST}:{port}", banner, clock)
        finally:
            server.stop()
            # Requests that hang on a fault end now; otherwise closing the connections would wait for them.
            cluster.close()
            await server.close_all_connections()
            clock.cancel()
            await asyncio.wait([clock])


async def _clock(ledger: Ledger, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while seconds:
        # From the time that was due, so that delays do not add up; a machine that slept does not catch up.
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())
        ledger.tick()
    await loop.create_future()  # a stopped clock waits until it is cancelled


def _load(ledger: Ledger, options: Options) -> list[str]:
    try:
        ledger.add_programs(map(read_program, options.programs))
        in_use = ledger.add_accounts(map(read_account, options.accounts))
    except ValueError as error:
        raise StartupError(f"a program cannot be loaded: {error}") from error
    return [f"--account {address}: the ledger has it already, and keeps what it has" for address in in_use]


@contextmanager
def _listening(options: Options) -> Iterator[tuple[socket.socket, socket.socket]]:
    rpc = _listen(options.port, "--port")
    try:
        ws = _listen(options.ws_port, "--ws-port")
    except StartupError:
        rpc.close()
        raise
    try:
        yield rpc, ws
    finally:
        rpc.close()
        ws.close()


def _listen(port: int, option: str) -> socket.socket:
    try:
        [listening] = bind_sockets(port, HOST)
    except OSError as error:
        raise StartupError(
            f"port {port} is not available ({error.strerror}): stop what listens there, or give another {option}"
        ) from error
    return listening


def _banner(options: Options, journal: Journal, ledger: Ledger, port: int, ws_port: int) -> str:
    url = f"http://{HOST}:{port}"
    slots = f"every {options.slot_ms} ms" if options.slot_ms else "by localnet_advanceSlots"
    lines = {
        "RPC": url,
        "WebSocket": f"ws://{HOST}:{ws_port} (and ws://{HOST}:{port})",
        "Ledger": str(journal.path),
        "Genesis": ledger.genesis_hash,
        "Consensus": options.consensus,
        "Slots": f"{slots}, now {ledger.blocks.tip.slot}",
    }
    if options.allow_faults:
        lines["Faults"] = "allowed (localnet_setFaults)"
    table = "\n".join(f"  {name:<9}  {value}" for name, value in lines.items())
    call = f"curl -s {url} -H 'Content-Type: application/json' -d"
    health = """'{"jsonrpc": "2.0", "id": 1, "method": "getHealth"}'"""
    airdrop = """'{"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": ["ADDRESS", 1000000000]}'"""
    return (
        f"\ndexexec localnet is ready\n\n{table}\n\n"
        f"  Check that it answers:\n\n    {call} {health}\n\n"
        f"  Send 1 SOL to an address:\n\n    {call} {airdrop}\n\n"
        "  Ctrl-C stops it; the next start continues from here.\n"
    )
