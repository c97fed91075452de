"""Postgres and Valkey that a test may break: killed with real signals, started again on the same data and address."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dexexec import embedded
from dexexec.store import Address
from tests.acceptance.service import postmaster, server_runs, servers_at, valkey_pid, wait_until


class Ground:
    """Servers of one test, on unix sockets below `data_dir`."""

    def __init__(self, data_dir: Path, stack: ExitStack) -> None:
        self.data_dir, self._stack = data_dir, stack
        started = stack.enter_context(embedded.postgres(data_dir))
        self.address = Address(started.host, started.port, started.user, started.dbname)
        self.redis_url = stack.enter_context(embedded.valkey(data_dir))

    @property
    def settings(self) -> dict[str, str]:
        """Settings that name these servers."""
        return servers_at(self.address, self.redis_url, "dexexec")

    def kill_valkey(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._end(valkey_pid(self.data_dir), signal.SIGKILL, "valkey")

    def stop_postgres_at_once(self) -> None:
        """What `pg_ctl stop -m immediate` does: no checkpoint, every session cut; the next start recovers."""
        self._end(postmaster(self.data_dir), signal.SIGQUIT, "postgres")

    def start_again(self) -> None:
        """Start what does not run."""
        for name, enter in (("postgres", embedded.postgres), ("valkey", embedded.valkey)):
            if not server_runs(self.data_dir / name):
                self._stack.enter_context(enter(self.data_dir))

    def _end(self, pid: int, number: signal.Signals, name: str) -> None:
        os.kill(pid, number)
        wait_until(lambda: not server_runs(self.data_dir / name), 20, f"{name} to be gone")


@contextmanager
def broken_ground() -> Iterator[Ground]:
    """Servers of one's own, stopped at the end whatever happened to them."""
    root = Path(tempfile.mkdtemp(prefix="dxg"))
    try:
        with ExitStack() as stack:
            yield Ground(root / "data", stack)
    finally:
        shutil.rmtree(root)
