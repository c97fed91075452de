"""The embedded servers of a service's data folder: which of them run, their pids, and a way to stop them."""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from dexexec.embedded import lifecycle
from tests.support.waiting import POLL, until


@contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder that does not exist yet, with a path short enough for sockets. At its end no server of it may
    run."""
    root = Path(tempfile.mkdtemp(prefix="dxd"))
    yield root / "data"
    assert not servers_running(root / "data")
    shutil.rmtree(root)


def server_pids(data_dir: Path) -> list[int]:
    """The pids of a data folder's Postgres and Valkey, which must run."""
    return [postmaster(data_dir), valkey_pid(data_dir)]


def postmaster(data_dir: Path) -> int:
    """The pid of the running Postgres."""
    return int((data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def valkey_pid(data_dir: Path) -> int:
    """The pid of the running Valkey."""
    with redis.Redis(unix_socket_path=str(data_dir / "valkey" / "valkey.sock")) as client:
        return int(client.info("server")["process_id"])


async def kill_and_await_the_next(pid_of: Callable[[Path], int], data_dir: Path) -> None:
    """Kill an embedded server, and wait until its service has started another one."""
    killed = pid_of(data_dir)
    os.kill(killed, signal.SIGKILL)

    def is_another() -> bool:
        with suppress(OSError, IndexError, ValueError, redis.RedisError):
            return pid_of(data_dir) != killed
        return False

    await until(is_another, seconds=30, pause=POLL)


def server_runs(home: Path) -> bool:
    """Whether any process of the server in `home` lives: it and its children hold this lock."""
    lock = home / "server.lock"
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def servers_running(data_dir: Path) -> list[str]:
    """The servers of `data_dir` that have a living process."""
    return [name for name in ("postgres", "valkey") if server_runs(data_dir / name)]


def stop_servers(data_dir: Path) -> None:
    """Stop what a killed process left behind, and wait until it is gone."""
    for name, enter in (("postgres", lifecycle.postgres), ("valkey", lifecycle.valkey)):
        if server_runs(data_dir / name):
            with enter(data_dir):
                pass
            assert not server_runs(data_dir / name)


def alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not: in some containers the first process does not reap orphans."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # a platform without /proc
