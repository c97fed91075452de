"""What processes use, memory and CPU, from /proc. Where there is none, nothing is claimed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from dexexec.store import Address, connect

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def pss_and_rss(pid: int) -> tuple[int, int] | None:
    """Bytes: the proportional share and the resident size; None where the system does not tell."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    sizes = {name.rstrip(":"): int(rest[0]) * 1024 for name, *rest in (line.split() for line in lines[1:]) if rest}
    return sizes.get("Pss", 0), sizes.get("Rss", 0)


def cpu_seconds(pid: int) -> float | None:
    """User and system time so far."""
    fields = _stat(pid)
    return None if fields is None else (int(fields[11]) + int(fields[12])) / TICKS


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None and int(fields[1]) == pid:
            children.append(int(entry.name))
    return [pid, *children]


def server_pids(postgres: Address, redis_url: str) -> dict[str, list[int]]:
    """The processes of Postgres and Redis, as far as they run on this machine."""
    found: dict[str, list[int]] = {}
    if not PROC.is_dir():
        return found
    with connect(postgres) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        fields = _stat(row[0]) if row else None
        if fields is not None and "postgres" in _name(int(fields[1])):
            found["postgres"] = family(int(fields[1]))
    with redis.Redis.from_url(redis_url) as client:
        pid = int(client.info("server")["process_id"])
    if "server" in _name(pid):
        found["redis"] = [pid]
    return found


class Meter:
    """CPU time from now on, by name of a group of processes."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = groups
        self._before = self._read()

    def read(self) -> dict[str, float]:
        """Seconds used since the start; empty where the system does not tell."""
        now = self._read()
        return {name: round(now[name] - self._before[name], 3) for name in now if name in self._before}

    def _read(self) -> dict[str, float]:
        found = {name: [cpu_seconds(pid) for pid in pids] for name, pids in self._groups.items()}
        return {name: sum(one or 0.0 for one in used) for name, used in found.items() if None not in used[:1]}


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text()
    except OSError:
        return ""
