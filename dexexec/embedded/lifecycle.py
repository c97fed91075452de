"""Starts, shares, restarts and stops the embedded servers.

A server survives a killed process and is reused by the next one; the last process that uses it stops it. Two file
locks coordinate that; the kernel releases them after a crash. docs/adr/0003-embedded-servers.md has the reasons.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dexexec.embedded.servers import PostgresAddress, PostgresServer, Server, ValkeyServer
from dexexec.errors import EmbeddedError

__all__ = ["PostgresAddress", "postgres", "valkey"]

START_SECONDS = 120  # long, since Postgres replays its log after a crash before it answers
STOP_SECONDS = 60
POLITE_SECONDS = 10
"""How long a server may take for an orderly stop. After that it is stopped at once, which loses no commit."""
POLL_SECONDS = 0.01
WATCH_SECONDS = 0.5
UNPRIVILEGED_UID = 65534


Report = Callable[[str], None]
StopRequested = Callable[[], bool]


def _never() -> bool:
    return False


@contextmanager
def postgres(
    data_dir: Path,
    *,
    tcp_port: int | None = None,
    report: Report | None = None,
    stop_requested: StopRequested = _never,
) -> Iterator[PostgresAddress]:
    """Run Postgres on `data_dir` for the block, and yield its address: a unix socket below `data_dir`.

    With `tcp_port` it also listens on 127.0.0.1, **without a password**, for tests that need a server given by the
    environment. All users of a data folder must use the same port. With `report`, a server that dies is restarted, and
    `report` gets a line about it, on a thread. When `stop_requested` returns True during the start, the block is
    entered although the server may not answer yet. Raises `EmbeddedError`.
    """
    server = PostgresServer(data_dir, tcp_port)
    with _in_use(server, stop_requested), _watched(server, report):
        yield server.address


@contextmanager
def valkey(
    data_dir: Path,
    *,
    tcp_port: int | None = None,
    report: Report | None = None,
    stop_requested: StopRequested = _never,
) -> Iterator[str]:
    """Run Valkey on `data_dir` for the block, and yield its URL. The parameters are those of `postgres`."""
    server = ValkeyServer(data_dir, tcp_port)
    with _in_use(server, stop_requested), _watched(server, report):
        yield server.url


@contextmanager
def _in_use(server: Server, stop_requested: StopRequested) -> Iterator[None]:
    with _explained(server):
        server.home.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # private: it also holds wallet files
        server.home.mkdir(exist_ok=True)
        server.home.chmod(0o700)
        # Under root the servers run as the folder's owner, since Postgres refuses to run as root.
        if os.geteuid() == 0 and server.home.stat().st_uid == 0:
            os.chown(server.home, UNPRIVILEGED_UID, UNPRIVILEGED_UID)
        # Every process that uses the server holds a shared lock on this file.
        users = _open_lock(server, "users")
    try:
        with _explained(server):
            _wait_for_share(users, stop_requested)
            _bring_up(server, stop_requested)
        yield
    finally:
        try:
            with _explained(server):
                # Only the last user gets the exclusive lock; a newcomer then waits until the server has stopped.
                if _try_exclusive(users):
                    _shut_down(server)
        finally:
            os.close(users)


@contextmanager
def _watched(server: Server, report: Report | None) -> Iterator[None]:
    if report is None:
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(server, over, report), name=f"{server.name} watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(server: Server, over: threading.Event, report: Report) -> None:
    while not over.wait(WATCH_SECONDS):
        try:
            with _explained(server):
                if _is_gone(server):
                    report(f"the embedded {server.name} has died: restarting it")
                    _bring_up(server)
                    report(f"the embedded {server.name} is back")
        except EmbeddedError as error:
            report(str(error))


def _is_gone(server: Server) -> bool:
    """Whether all processes of the server have ended."""
    lock = _open_lock(server, "server")
    try:
        return _try_exclusive(lock)
    finally:
        os.close(lock)


def _wait_for_share(users: int, stop_requested: StopRequested) -> None:
    """Take the shared lock of users. It is only refused while the last user before us stops the server."""
    while not stop_requested():
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
        else:
            return


def _bring_up(server: Server, stop_requested: StopRequested = _never) -> None:
    """Use the server if it runs, else start it once all processes of the previous one have ended."""
    deadline = time.monotonic() + START_SECONDS
    started = False
    while not stop_requested() and not server.answers():
        # The server and its children inherit this lock and hold it until the last of them has ended. Unlike a pid
        # file, it proves after a crash or a reboot that no process uses the data any more.
        lock = _open_lock(server, "server")
        try:
            if _try_exclusive(lock):
                if started:
                    raise server.failure("it did not start")
                server.start(lock)
                started = True
        finally:
            os.close(lock)  # not LOCK_UN, which would release the server's lock as well
        if time.monotonic() > deadline:
            raise server.failure(f"it does not answer after {START_SECONDS} s")
        time.sleep(POLL_SECONDS)


def _shut_down(server: Server) -> None:
    """Stop the server, and wait until all its processes have ended."""
    lock = _open_lock(server, "server")
    try:
        begun = time.monotonic()
        while not _try_exclusive(lock):
            if time.monotonic() < begun + POLITE_SECONDS:
                server.stop()
            else:
                server.stop_at_once()
            if time.monotonic() > begun + STOP_SECONDS:
                raise server.failure(f"it has not stopped after {STOP_SECONDS} s")
            time.sleep(POLL_SECONDS)
    finally:
        os.close(lock)


def _open_lock(server: Server, name: str) -> int:
    return os.open(server.home / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)


def _try_exclusive(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _explained(server: Server) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = os.fsdecode(error.filename or server.home)
        problem = f"it cannot run in {server.home}: {error.strerror or error} ({where})"
        raise server.error(problem, "move the data folder with DEXEXEC_DATA_DIR") from error
