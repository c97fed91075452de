"""The pure parts of `--processes N`: pauses, messages to children, their ends, and the command line."""

import signal
import socket
import threading
from itertools import pairwise

import pytest

from dexexec.bootstrap.parent_link import READY, Notify
from dexexec.bootstrap.servers import Servers
from dexexec.bootstrap.supervisor import FIRST_PAUSE, LONGEST_PAUSE, WELL_AFTER, End, child_environment, next_pause
from dexexec.cli.main import parser
from dexexec.cli.service import MOST_PROCESSES
from dexexec.store import Address

EMBEDDED = Servers(
    Address(host="/data/postgres", port=5432), "unix:///data/valkey/valkey.sock?db=0", ("Postgres", "Redis")
)
GIVEN = Servers(Address(host="db", port=5433, user="me", database="orders", password="hunter2"), "redis://cache/0", ())  # noqa: S106


def test_pauses_grow_up_to_a_limit_and_begin_again_after_a_good_life() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(next_pause(pauses[-1], lived=1.0))
    assert pauses[1] == FIRST_PAUSE
    assert pauses[-1] == LONGEST_PAUSE
    assert all(later == min(2 * earlier, LONGEST_PAUSE) for earlier, later in pairwise(pauses[1:]))
    assert next_pause(LONGEST_PAUSE, lived=WELL_AFTER) == FIRST_PAUSE


def test_children_get_the_address_of_the_embedded_servers_over_all_settings() -> None:
    parent = {"HOME": "/home/me", "port": "0", "PG_USER": "another", "PG_DATABASE": "other", "PG_PORT": "1"}
    assert child_environment(
        parent, EMBEDDED, {"PORT": 4000, "DEXEXEC_METRICS_PORT": 4001}, "http://127.0.0.1:8899"
    ) == {
        "HOME": "/home/me",
        "PORT": "4000",
        "DEXEXEC_METRICS_PORT": "4001",
        "PG_HOST": "/data/postgres",
        "PG_PORT": "5432",
        "PG_USER": "postgres",
        "PG_DATABASE": "postgres",
        "REDIS_URL": "unix:///data/valkey/valkey.sock?db=0",
        "DEXEXEC_LOCALNET_URL": "http://127.0.0.1:8899",
    }


def test_children_find_given_servers_as_we_did() -> None:
    parent = {"PG_HOST": "db", "PG_PASSWORD": "hunter2", "REDIS_URL": "redis://cache/0"}
    assert child_environment(parent, GIVEN, {}, None) == parent


@pytest.mark.parametrize(
    ("end", "words", "asked_for"),
    [
        (End(0), "ended with status 0", True),
        (End(-signal.SIGTERM), "was ended by signal 15", True),
        (End(-signal.SIGKILL), "was ended by signal 9", False),
        (End(1), "ended with status 1", False),
        (End(2, "PORT: not a number"), "PORT: not a number", False),
    ],
)
def test_an_end_has_its_signal_or_exit_code(end: End, words: str, asked_for: bool) -> None:
    assert (str(end), end.asked_for) == (words, asked_for)


def test_a_child_writes_one_line_and_notices_that_its_parent_is_gone() -> None:
    parent, child = socket.socketpair()
    gone = threading.Event()
    notify = Notify(child)
    notify.when_gone(gone.set)
    with parent:
        notify.ready("the banner is not for the line")
        notify.failed("two\nlines")
        assert parent.recv(100) == f"{READY}\ntwo lines\n".encode()
        assert not gone.is_set()
    assert gone.wait(10)
    with child:
        notify.failed("without a reader: no error")


@pytest.mark.parametrize(
    ("line", "command", "processes"),
    [
        ("", None, 1),
        ("--processes 2", None, 2),
        ("api --processes 3", "api", 3),
        ("--processes 4 worker", "worker", 4),
        ("demo", "demo", 1),
    ],
)
def test_the_number_of_processes_may_come_before_or_after_the_role(
    line: str, command: str | None, processes: int
) -> None:
    options = parser().parse_args(line.split())
    assert (options.command, options.processes, options.notify) == (command, processes, None)


@pytest.mark.parametrize("value", ["0", "-1", "x", str(MOST_PROCESSES + 1), "1.5", "²"])
def test_an_invalid_number_of_processes_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--processes", value])
    assert f"is not an integer from 1 to {MOST_PROCESSES}" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["x", "987654"])
def test_no_other_process_can_use_the_pipe_of_a_child(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--notify", value])
    assert "--processes" in capsys.readouterr().err


def test_help_names_processes_and_not_the_line() -> None:
    text = parser().format_help()
    assert "--processes N" in text
    assert "--notify" not in text
