"""A PgBouncer in front of a test's Postgres, on a unix socket of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dexexec.embedded.servers import SETPRIV
from dexexec.store import Address
from tests.support.waiting import wait_until

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PORT = 6432
NOBODY = 65534

needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed (apt-get install pgbouncer); .ci/run installs it"
)


@contextmanager
def pgbouncer(address: Address, pool_mode: str, **settings: str) -> Iterator[Address]:
    """The address of a PgBouncer that passes on to the server at `address`, with `settings` of its [pgbouncer]
    section. It refuses to run as root, so then it runs as the owner of the server's socket."""
    assert PROGRAM is not None
    folder = Path(tempfile.mkdtemp(prefix="dxb"))
    users, config = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"{address.user}" "{address.password}"\n')
    where = f"host={address.host} port={address.port}" + (f" password='{address.password}'" * bool(address.password))
    section = {
        "listen_addr": "",
        "listen_port": str(PORT),
        "unix_socket_dir": str(folder),
        "auth_type": "trust",
        "auth_file": str(users),
        "pool_mode": pool_mode,
        "logfile": str(folder / "log"),
        **settings,
    }
    lines = "\n".join(f"{name} = {value}" for name, value in section.items())
    config.write_text(f"[databases]\n* = {where}\n[pgbouncer]\n{lines}\n")
    command = [PROGRAM, "-q", str(config)]
    if os.getuid() == 0:
        owner = Path(address.host).stat().st_uid if address.host.startswith("/") else 0
        owner = owner or NOBODY
        for path in (folder, users, config):
            os.chown(path, owner, owner)
        command = ["setpriv", f"--reuid={owner}", f"--regid={owner}", *SETPRIV.split(), *command]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = replace(address, host=str(folder), port=PORT)
    try:
        wait_until(lambda: answers(found), 20, f"PgBouncer to answer, exit code {process.poll()}")
        yield found
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder)


def answers(address: Address) -> bool:
    """Whether a statement comes through."""
    try:
        with psycopg.connect(address.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
