"""Measure what a normal client notices of an attack: `uv run python -m tests.attacks NAME ...`.

The service runs as a process with embedded servers, the attack in a second one, the client in this one.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.attacks.attacker import ATTACKS
from tests.attacks.client import NormalClient, Phase
from tests.support.service.process import Launcher, Process, say

FILLED = 200
"""Orders that are there before an attack, so that a list is a full one."""
SHARED_LOG = "a-log-nobody-reads"
"""An attack from outside the API: refused requests, while standard error is a pipe without a reader."""
SETTLE_SECONDS = 10.0
"""Between the end of an attack and the last look at the memory."""


@dataclass
class Report:
    """What one attack did."""

    before: Phase
    under: Phase
    after: Phase
    rss: tuple[int, int, int]
    log_bytes_per_second: float
    lost_leases: int
    transactions_after: float
    attack: dict[str, int]

    def print(self, name: str) -> None:
        """For people."""
        say(f"{name}: {(ATTACKS.get(name) or ATTACKS['not-found']).__doc__}")
        for what, phase in (("before", self.before), ("under", self.under), ("after", self.after)):
            say(f"  {what:6} {phase.line()}")
        say("  memory before {}, peak {}, after {} MB".format(*self.rss))
        say(f"  log {self.log_bytes_per_second:.0f} B/s, leases lost {self.lost_leases}")
        say(f"  transactions/s of the client's last phase {self.transactions_after:.0f}; attack: {self.attack}")


def resident_mb(pid: int) -> int:
    """What of a process is in memory, by the kernel."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return 0


async def peak_of(pid: int, found: list[int]) -> None:
    """Append the memory of a process five times a second, until cancelled."""
    while True:
        found.append(resident_mb(pid))
        await asyncio.sleep(0.2)


async def transactions(launcher: Launcher) -> int:
    """Commits in the service's embedded database so far."""
    folder = next(lock.parent for lock in launcher.home.rglob("server.lock") if lock.parent.name == "postgres")
    conninfo = f"host={folder} dbname=dexexec"
    sockets = list(folder.rglob(".s.PGSQL.*"))
    socket = next(s for s in sockets if not s.name.endswith(".lock"))
    conninfo = f"host={socket.parent} port={socket.name.rpartition('.')[2]} user=postgres dbname=postgres"
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        row = await (await connection.execute("SELECT sum(xact_commit) FROM pg_stat_database")).fetchone()
    return int(row[0]) if row else 0


async def measure(name: str, process: Process, launcher: Launcher, *, seconds: float, rate: float) -> Report:
    """Run one attack, with a phase of the normal client before, under and after it."""
    client = NormalClient(int(process.url.rpartition(":")[2]), rate)
    await client.fill(FILLED)
    before = await client.run(5)
    logged, memory = len(process.err), [resident_mb(process.pid)]
    watching = asyncio.create_task(peak_of(process.pid, memory))
    command = (sys.executable, "-m", "tests.attacks.attacker", str(client.port), str(seconds))
    attacker = await asyncio.create_subprocess_exec(
        *command, "not-found" if name == SHARED_LOG else name, stdout=asyncio.subprocess.PIPE
    )
    under = await client.run(seconds + 1)
    counted, _ = await attacker.communicate()
    log_rate = (len(process.err) - logged) / (seconds + 1)
    committed, begun = await transactions(launcher), asyncio.get_running_loop().time()
    after = await client.run(5)
    per_second = (await transactions(launcher) - committed) / (asyncio.get_running_loop().time() - begun)
    await asyncio.sleep(SETTLE_SECONDS)
    watching.cancel()
    return Report(
        before,
        under,
        after,
        (memory[0], max(memory), resident_mb(process.pid)),
        log_rate,
        process.err.count("worker lost its lease"),
        per_second,
        json.loads(counted or b"{}"),
    )


def main() -> None:
    """Each attack named on the command line, on a service of its own."""
    options = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    options.add_argument("names", nargs="+", choices=[*ATTACKS, SHARED_LOG, "all"], metavar="NAME")
    options.add_argument("--seconds", type=float, default=15.0, help="how long an attack lasts (default: 15)")
    options.add_argument("--rate", type=float, default=10.0, help="orders per second of the client (default: 10)")
    options.add_argument("--descriptors", type=int, default=256, help="that the service may have (default: 256)")
    given = options.parse_args()
    for name in [*ATTACKS, SHARED_LOG] if "all" in given.names else given.names:
        with Launcher() as launcher:
            unread = "2> >(exec sleep 600)" if name == SHARED_LOG else ""
            launcher.prefix = ("bash", "-c", f'ulimit -n {given.descriptors}; exec "$@" {unread}', "bash")
            process = launcher.start()
            process.ready()
            report = asyncio.run(measure(name, process, launcher, seconds=given.seconds, rate=given.rate))
        report.print(name)


if __name__ == "__main__":
    main()
