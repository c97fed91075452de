"""`python -m dexexec localnet` as a process that can be killed, also at a point between two of its effects."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from tests.support.localnet.in_process import encoded, rpc
from tests.support.waiting import until

KILLED_PROGRAM = """
import os, signal, sys
from dexexec.cli.main import main
from dexexec.localnet.journal import Journal

where, countdown, land = sys.argv.pop(1), int(sys.argv.pop(1)), Journal.land

def dying(self, *landing):
    global countdown
    countdown -= 1
    if countdown == 0 and where == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    land(self, *landing)
    if countdown == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.land = dying
sys.exit(main(sys.argv[1:]))
"""
"""The program, but it kills itself before or after the nth transaction is committed."""
OPTIONS = {"encoding": "base64", "preflightCommitment": "processed"}
PROCESSED = {"commitment": "processed"}
MANUAL_SLOTS = ("--slot-ms", "0", "--allow-faults")


class LocalnetProcess:
    """One localnet on free ports."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], dies: tuple[str, int] | None = None) -> None:
        program = ["-c", KILLED_PROGRAM, dies[0], str(dies[1])] if dies else ["-m", "dexexec"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DEXEXEC_")}
        # One file per process: several run on the same data folder, one after the other.
        self._out = folder.with_suffix(f".{len(list(folder.parent.iterdir()))}.out")
        with self._out.open("wb") as out:
            self.popen = subprocess.Popen(
                [sys.executable, *program, "localnet", "--port", "0", "--data-dir", str(folder), *arguments],
                cwd=folder.parent,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def out(self) -> str:
        """Its output so far."""
        return self._out.read_text()

    async def url(self) -> str:
        """Waits until it serves, and returns its URL."""

        def ready() -> bool:
            assert self.popen.poll() is None, self.out
            return "Ctrl-C" in self.out  # the last line of the banner

        await until(ready, pause=0.01)
        return next(line.split()[1] for line in self.out.splitlines() if line.strip().startswith("RPC"))

    async def ended(self) -> int:
        """Waits for its end, and returns the exit code."""
        await until(lambda: self.popen.poll() is not None, pause=0.01)
        return self.popen.returncode

    async def kill(self) -> None:
        """SIGKILL."""
        self.popen.send_signal(signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL


StartLocalnet = Callable[..., LocalnetProcess]


@contextmanager
def localnet_processes(folder: Path) -> Iterator[StartLocalnet]:
    """Starts localnets on one data folder; none is left behind."""
    started: list[LocalnetProcess] = []

    def start(*arguments: str, dies: tuple[str, int] | None = None) -> LocalnetProcess:
        started.append(LocalnetProcess(folder / "ledger", arguments, dies))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.popen.kill()
            process.popen.wait()


# Calls to a localnet by its URL


async def send(url: str, transaction: VersionedTransaction) -> Any:
    return await rpc(url, "sendTransaction", encoded(transaction), OPTIONS)


async def balance(url: str, address: Pubkey) -> Any:
    return (await rpc(url, "getBalance", str(address), PROCESSED))["value"]


async def blockhash(url: str) -> Hash:
    return Hash.from_string((await rpc(url, "getLatestBlockhash", PROCESSED))["value"]["blockhash"])


async def status(url: str, signature: Signature) -> Any:
    statuses = await rpc(url, "getSignatureStatuses", [str(signature)], {"searchTransactionHistory": True})
    return statuses["value"][0]
