"""Postgres and Valkey for a machine that has neither. The ground of an order's way: store and queue run on them.

The servers outlive a killed process and are taken over by the next one; the last process to leave stops them. Two
lock files in a server's folder say who is there. The kernel drops a lock with its last holder, so a crash leaves none:

* `users.lock`: shared by every process that uses the server. The one that can turn it exclusive is the last, and a
  newcomer waits until that one has stopped the server.
* `server.lock`: taken to start the server, then inherited by it and by each of its children, and held until the last
  of them is gone. It makes a second starter wait for the first, and it says what a pid file cannot say after a crash
  or a reboot: nobody touches the data any more.

Why it is made so: docs/adr/0003-embedded-servers.md.
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

START_SECONDS = 120  # after a crash, Postgres replays its log before it answers
STOP_SECONDS = 60
POLITE_SECONDS = 10
"""How long a server may take to go in good order. Then it is made to go as after a crash, which loses nothing."""
POLL_SECONDS = 0.01
WATCH_SECONDS = 0.5
NOBODY = 65534


Tell = Callable[[str], None]
GivenUp = Callable[[], bool]


def _never() -> bool:
    return False


@contextmanager
def postgres(
    data_dir: Path, *, tcp_port: int | None = None, tell: Tell | None = None, given_up: GivenUp = _never
) -> Iterator[PostgresAddress]:
    """Keep Postgres running on `data_dir`, and yield its address: a unix socket below `data_dir`.

    With `tcp_port` it is 127.0.0.1, **without a password**: for tests that need a server given by the environment. All
    users of one data folder must agree on the port. With `tell`, a server that dies meanwhile is started again, and
    `tell` is handed a line about it, in a thread. Once `given_up` says so, the start is not waited for, and the server
    may not answer. Raises EmbeddedError, with one line that says what to do.
    """
    server = PostgresServer(data_dir, tcp_port)
    with _in_use(server, given_up), _watched(server, tell):
        yield server.address


@contextmanager
def valkey(
    data_dir: Path, *, tcp_port: int | None = None, tell: Tell | None = None, given_up: GivenUp = _never
) -> Iterator[str]:
    """Keep Valkey running on `data_dir`, and yield its URL for `redis.from_url`. The rest is as with `postgres`."""
    server = ValkeyServer(data_dir, tcp_port)
    with _in_use(server, given_up), _watched(server, tell):
        yield server.url


@contextmanager
def _in_use(server: Server, given_up: GivenUp) -> Iterator[None]:
    with _explained(server):
        server.home.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # wallets are kept there, too
        server.home.mkdir(exist_ok=True)
        server.home.chmod(0o700)
        if os.geteuid() == 0 and server.home.stat().st_uid == 0:
            os.chown(server.home, NOBODY, NOBODY)
        users = _open_lock(server, "users")
    try:
        with _explained(server):
            _wait_for_share(users, given_up)
            _bring_up(server, given_up)
        yield
    finally:
        try:
            with _explained(server):
                if _try_exclusive(users):
                    _shut_down(server)
        finally:
            os.close(users)


@contextmanager
def _watched(server: Server, tell: Tell | None) -> Iterator[None]:
    if tell is None:
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(server, over, tell), name=f"{server.name} watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(server: Server, over: threading.Event, tell: Tell) -> None:
    while not over.wait(WATCH_SECONDS):
        try:
            with _explained(server):
                if _is_gone(server):
                    tell(f"the embedded {server.name} has died: starting it again")
                    _bring_up(server)
                    tell(f"the embedded {server.name} is back")
        except EmbeddedError as error:
            tell(str(error))


def _is_gone(server: Server) -> bool:
    """Whether none of the server's processes lives."""
    lock = _open_lock(server, "server")
    try:
        return _try_exclusive(lock)
    finally:
        os.close(lock)


def _wait_for_share(users: int, given_up: GivenUp) -> None:
    """Wait until the last user of before has stopped the server."""
    while not given_up():
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
        else:
            return


def _bring_up(server: Server, given_up: GivenUp = _never) -> None:
    """Take over the server that runs, or start it once the processes of the one before are gone."""
    deadline = time.monotonic() + START_SECONDS
    started = False
    while not given_up() and not server.answers():
        lock = _open_lock(server, "server")
        try:
            if _try_exclusive(lock):
                if started:
                    raise server.failure("it did not start")
                server.start(lock)
                started = True
        finally:
            os.close(lock)  # never LOCK_UN, which would take it from the server as well
        if time.monotonic() > deadline:
            raise server.failure(f"it does not answer after {START_SECONDS} s")
        time.sleep(POLL_SECONDS)


def _shut_down(server: Server) -> None:
    """Stop the server, and wait until none of its processes lives."""
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
