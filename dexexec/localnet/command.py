"""`python -m dexexec localnet`, once its options are read: everything put together, until it is asked to stop."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tornado.netutil import bind_sockets

from dexexec.errors import StartupError
from dexexec.localnet.fixtures import read_account, read_program
from dexexec.localnet.journal import Journal
from dexexec.localnet.ledger import Ledger
from dexexec.localnet.rpc.server import Cluster, make_server
from dexexec.localnet.runtime import Runtime

HOST = "127.0.0.1"
"""Whoever reaches it can have any amount of its coins: it is for this machine."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. A port of 0 picks a free one; `slot_ms` 0 leaves the clock to `localnet_advanceSlots`."""

    folder: Path
    port: int
    ws_port: int
    slot_ms: int
    programs: Sequence[str]
    accounts: Sequence[str]
    allow_faults: bool


@dataclass(frozen=True, slots=True)
class RunningLocalnet:
    """A localnet that answers. `clock` never ends by itself, so when it is done it has failed."""

    url: str
    banner: str
    clock: "asyncio.Future[None]"

    async def watch(self) -> None:
        """Until it fails, with what it failed with."""
        await asyncio.shield(self.clock)


async def serve(options: Options, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Run until `stop`. Raises `StartupError` when it cannot start."""
    async with running(options) as localnet:
        say(localnet.banner)
        localnet.clock.add_done_callback(lambda _: stop.set())
        await stop.wait()
        if localnet.clock.done():
            localnet.clock.result()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[RunningLocalnet]:
    """A localnet as long as the block lasts. Raises `StartupError` when it cannot start."""
    with _listening(options) as (rpc, ws), closing(Journal(options.folder)) as journal:
        ledger = Ledger(journal, Runtime(), time.time)
        kept = _load(ledger, options)
        cluster = Cluster(ledger, allow_faults=options.allow_faults)
        server = make_server(cluster)
        server.add_sockets([rpc, ws])
        port, ws_port = rpc.getsockname()[1], ws.getsockname()[1]
        clock = asyncio.create_task(_clock(ledger, options.slot_ms / 1000))
        try:
            yield RunningLocalnet(
                f"http://{HOST}:{port}", "\n".join([*kept, _banner(options, journal, ledger, port, ws_port)]), clock
            )
        finally:
            server.stop()
            cluster.close()
            await server.close_all_connections()
            clock.cancel()
            await asyncio.wait([clock])


async def _clock(ledger: Ledger, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while seconds:
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())
        ledger.tick()
    await loop.create_future()


def _load(ledger: Ledger, options: Options) -> list[str]:
    try:
        ledger.add_programs(map(read_program, options.programs))
        kept = ledger.add_accounts(map(read_account, options.accounts))
    except ValueError as error:
        raise StartupError(f"a program cannot be loaded: {error}") from error
    return [f"--account {address}: the ledger has it already, and keeps what it has" for address in kept]


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
        [found] = bind_sockets(port, HOST)
    except OSError as error:
        why = f"port {port} cannot be had ({error.strerror})"
        raise StartupError(f"{why}: stop what listens there, or give another {option}") from error
    return found


def _banner(options: Options, journal: Journal, ledger: Ledger, port: int, ws_port: int) -> str:
    url = f"http://{HOST}:{port}"
    slots = f"every {options.slot_ms} ms" if options.slot_ms else "by localnet_advanceSlots"
    lines = {
        "RPC": url,
        "WebSocket": f"ws://{HOST}:{ws_port} (and ws://{HOST}:{port})",
        "Ledger": str(journal.path),
        "Genesis": ledger.genesis_hash,
        "Slots": f"{slots}, now {ledger.blocks.tip.slot}",
    }
    if options.allow_faults:
        lines["Faults"] = "allowed (localnet_setFaults)"
    table = "\n".join(f"  {name:<9}  {value}" for name, value in lines.items())
    call = f"curl -s {url} -H 'Content-Type: application/json' -d"
    health = """'{"jsonrpc": "2.0", "id": 1, "method": "getHealth"}'"""
    airdrop = """'{"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": ["ADDRESS", 1000000000]}'"""
    return (
        f"\ndexexec localnet is ready\n\n{table}\n\n  Is it there?\n\n    {call} {health}\n\n"
        f"  1 SOL to an address:\n\n    {call} {airdrop}\n\n  Ctrl-C stops; the next start goes on from here.\n"
    )
