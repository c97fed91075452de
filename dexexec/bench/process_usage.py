"""Memory and CPU of processes, from /proc. On systems without it there are no figures."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from dexexec.store import Address, connect

PROC = Path("/proc")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

# Fields of /proc/PID/stat, counted after the process's name (proc(5) counts them from the start: 4, 14 and 15).
PARENT_PID = 1
USER_TICKS = 11
SYSTEM_TICKS = 12


def pss_and_rss(pid: int) -> tuple[int, int] | None:
    """Bytes of memory: the proportional share (PSS) and the resident size (RSS). None if the system has no /proc."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    sizes = {name.rstrip(":"): int(rest[0]) * 1024 for name, *rest in (line.split() for line in lines[1:]) if rest}
    return sizes.get("Pss", 0), sizes.get("Rss", 0)


def cpu_seconds(pid: int) -> float | None:
    """The user and system time of a process so far. None if it is not running."""
    fields = _stat(pid)
    return None if fields is None else (int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / CLOCK_TICKS


def process_and_children(pid: int) -> list[int]:
    """The ids of a process and of its children."""
    children = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None and int(fields[PARENT_PID]) == pid:
            children.append(int(entry.name))
    return [pid, *children]


def server_pids(postgres: Address, redis_url: str) -> dict[str, list[int]]:
    """The processes of Postgres and Redis, if they run on this machine."""
    pids: dict[str, list[int]] = {}
    if not PROC.is_dir():
        return pids
    with connect(postgres) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        fields = _stat(row[0]) if row else None
        # A server on another machine has process ids too. The names tell whether this machine's process is that server.
        if fields is not None and "postgres" in _name(int(fields[PARENT_PID])):
            pids["postgres"] = process_and_children(int(fields[PARENT_PID]))
    with redis.Redis.from_url(redis_url) as client:
        pid = int(client.info("server")["process_id"])
    if "server" in _name(pid):
        pids["redis"] = [pid]
    return pids


class CpuMeter:
    """Measures CPU time from its creation on, for named groups of processes."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = groups
        self._before = self._totals()

    def read(self) -> dict[str, float]:
        """Seconds used by each group since the creation. Empty if the system has no /proc."""
        now = self._totals()
        return {name: round(now[name] - self._before[name], 3) for name in now if name in self._before}

    def _totals(self) -> dict[str, float]:
        totals = {}
        for name, pids in self._groups.items():
            used = [cpu_seconds(pid) for pid in pids]
            # Children of a server come and go; only the group's first process has to be there.
            if None not in used[:1]:
                totals[name] = sum(seconds or 0.0 for seconds in used)
        return totals


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may contain spaces and brackets."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text()
    except OSError:
        return ""
