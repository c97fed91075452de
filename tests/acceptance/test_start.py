"""One command on a machine with nothing but the package: start, first order, stop, and start again."""

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dexexec.bootstrap.shutdown import END_SECONDS
from dexexec.cli.main import main
from dexexec.store import Address, connect
from tests.conftest import Servers
from tests.support.service.command_line import needs_curl, paste, read
from tests.support.service.embedded_servers import alive, postmaster, server_pids, servers_running, stop_servers
from tests.support.service.process import QUICK, Launcher, Process, say, servers_at
from tests.support.service.promise_checks import check_promises
from tests.support.waiting import wait_until

SLOWEST_WARM_START, WARM_STARTS = 2.0, 3
"""A warm start is compared with the cold one of the same run, which has databases to make and takes twice as long: what
it waits for, it waits for every time, and a machine that is busy for a moment is not busy three times."""

NOTHING_USABLE = {"DEXEXEC_DATA_DIR": "/nowhere", "DEXEXEC_NO_SUCH_NAME": "1"}


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """One data folder, so that only the first start has to make the databases."""
    root = Path(tempfile.mkdtemp(prefix="dxa"))
    yield root / "data"
    stop_servers(root / "data")
    shutil.rmtree(root)


@pytest.fixture
def launcher(data_dir: Path) -> Iterator[Launcher]:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **QUICK) as launcher:
        yield launcher


def confirmed(url: str, order_id: str) -> bool:
    return read(f"{url}/api/orders/{order_id}")["status"] == "confirmed"


@needs_curl
def test_an_order_pasted_from_the_banner_is_executed_and_found_again_after_a_restart(
    launcher: Launcher, data_dir: Path
) -> None:
    first = launcher.start()
    cold = first.ready()
    banner = first.banner()
    for line in (
        f"{first.url}/\n",
        f"{first.url}/api/orders/execute",
        f"{first.url}/readyz",
        "mock-raydium",
        "mock-meteora",
        "(embedded)",
    ):
        assert line in banner
    assert f"{first.url.replace('http', 'ws', 1)}/api/orders/execute" in banner
    assert str(data_dir) in banner
    order_id = paste(first)
    wait_until(lambda: confirmed(first.url, order_id), 10, "the pasted order to be confirmed")
    known = read(f"{first.url}/api/orders/{order_id}")
    stops_everything(first, data_dir, signal.SIGTERM)

    second = launcher.start()
    warm = [second.ready()]
    assert read(f"{second.url}/api/orders/{order_id}") == known
    listed = read(f"{second.url}/api/orders?status=confirmed")["orders"]
    assert isinstance(listed, list)
    assert order_id in [order["orderId"] for order in listed]
    state = read(f"{second.url}/api/overview")
    assert state["network"] == {"name": "simulated", "kind": "simulated", "explorer": None}
    assert state["queue"] == {"length": 0, "oldestMs": None, "open": 0}
    assert isinstance(state["workers"], list)
    assert any(worker["alive"] for worker in state["workers"])
    assert (state["keysRequired"], state["nodes"], state["wallets"]) == (False, [], [])
    stops_everything(second, data_dir, signal.SIGINT)
    while warm[-1] > SLOWEST_WARM_START * cold and len(warm) < WARM_STARTS:
        another = launcher.start()
        warm.append(another.ready())
        assert another.stop() == 0
    say(f"ready after {cold:.2f} s, then after {warm} s")
    assert warm[-1] <= SLOWEST_WARM_START * cold, "a warm start takes too long"


def test_promise_15_a_service_whose_embedded_postgres_commits_nothing_stops_in_time(
    launcher: Launcher, data_dir: Path
) -> None:
    """As with a synchronous standby that was made of it and is lost."""
    service = launcher.start(DEXEXEC_DRAIN_SECONDS="0.5")
    service.ready()
    home = Address(host=str(data_dir / "postgres"))
    with connect(home) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        wait_until(lambda: connection.execute(waits).fetchall(), 20, "a heartbeat that waits for its commit")
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")  # for whoever starts it next
    begun = time.monotonic()
    assert service.stop() == 0
    say(f"ended after {time.monotonic() - begun:.2f} s")
    assert time.monotonic() - begun < 0.5 + END_SECONDS
    assert not servers_running(data_dir)


def stops_everything(process: Process, data_dir: Path, number: signal.Signals) -> None:
    """The signal drains the process, which stops every server that it started; Ctrl-C reaches its whole group."""
    pids = server_pids(data_dir)
    assert all(map(alive, pids))
    process.send(number, group=number is signal.SIGINT)
    assert process.wait() == 0
    assert not servers_running(data_dir)
    assert not any(map(alive, pids))
    assert "Traceback" not in process.err
    process.logged("worker stopped")


def test_ctrl_c_again_and_again_stops_nothing_halfway(launcher: Launcher, data_dir: Path) -> None:
    process = launcher.start()
    process.ready()
    while process.running:
        process.send(signal.SIGINT, group=True)
    assert process.wait() == 0
    assert not servers_running(data_dir)
    assert "Traceback" not in process.err
    process.logged("worker stopped")


def test_a_signal_while_it_starts_leaves_no_server_behind(launcher: Launcher, data_dir: Path) -> None:
    process = launcher.start()
    wait_until(lambda: servers_running(data_dir), 20, "a server to be started")
    process.send(signal.SIGTERM)
    process.send(signal.SIGINT, group=True)
    assert process.wait() == 0
    assert not servers_running(data_dir)
    assert "Traceback" not in process.err


def test_the_last_of_two_processes_on_one_data_folder_stops_the_servers(launcher: Launcher, data_dir: Path) -> None:
    api, worker = launcher.start("api"), launcher.start("worker")
    worker.logged("worker started")
    api.ready()
    first = postmaster(data_dir)
    assert worker.stop() == 0
    assert sorted(servers_running(data_dir)) == ["postgres", "valkey"]
    assert postmaster(data_dir) == first
    assert api.stop() == 0
    assert not servers_running(data_dir)


def test_placeholders_of_a_copied_env_file_only_warn(given: dict[str, str]) -> None:
    placeholders = {"SOLANA_WALLET_SECRET_KEY": "123456", "OUTPUT_MINT": "12345678", "INPUT_MINT": "1234"}
    with Launcher(**given, **placeholders) as launcher:
        process = launcher.start()
        process.ready()
        warnings = [line for line in process.err.splitlines() if '"warning"' in line]
        texts = [str(json.loads(line)["what"]) for line in warnings]
        for name, value in placeholders.items():
            assert len([line for line in texts if name in line]) == 1, warnings
            assert value not in "".join(texts)
        assert process.stop() == 0


def test_migrate_applies_everything_once_with_concurrent_runs(
    servers: Servers, empty_database: Address, redis_prefix: str
) -> None:
    with Launcher(**servers_at(empty_database, servers.redis_url, redis_prefix)) as launcher:
        together = [launcher.start("migrate") for _ in range(2)]
        assert [process.wait() for process in together] == [0, 0]
        outputs = sorted(process.out.strip() for process in together)
        assert outputs[0].startswith("applied: 0001"), outputs
        assert outputs[1] == "the schema is up to date", outputs
        again = launcher.start("migrate")
        assert again.wait() == 0
        assert again.out.strip() == "the schema is up to date"
        assert "".join(process.err for process in launcher.processes) == ""
    check_promises(empty_database, [])


@pytest.mark.parametrize(
    "command",
    [
        *("", "api", "worker", "migrate", "demo", "cancel", "explain", "paper", "backup", "restore"),
        *("orders", "retry", "release", "dead-letters", "venues", "workers"),
        *("keys", "keys create", "keys list", "keys revoke", "keys rotate", "keys policy", "halt", "resume"),
        *("webhooks", "webhooks add", "webhooks failed", "webhooks resend"),
        *("adapters", "adapters list", "adapters check", "adapters accept"),
    ],
    ids=lambda command: command or "all",
)
def test_every_command_explains_itself_without_starting_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """In this process, since each of its own would import the whole command line again."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which a command replaces
    for name, value in NOTHING_USABLE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    output = capsys.readouterr()
    assert output.out.startswith("usage: python -m dexexec")
    assert output.err == ""
    assert not Path("/nowhere").exists()


def test_the_program_explains_itself_where_no_setting_is_usable(launcher: Launcher) -> None:
    process = launcher.start("--help", **NOTHING_USABLE)
    assert process.wait() == 0
    assert process.out.startswith("usage: python -m dexexec")
    assert process.err == ""
    assert not Path("/nowhere").exists()
