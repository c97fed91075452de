"""The real program as processes: started with an environment, waited for, signalled, and never left behind.

A `Launcher` has the processes of one test. They get a working directory of their own (so that no `.env` is read) and
only the settings that the test names. Leaving it kills what still runs, waits for the embedded servers of its
data folders to be gone, and, if the test failed, prints what every process wrote.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from dexexec.store import Address
from tests.support.canary import canaries_of, leaks
from tests.support.service.embedded_servers import stop_servers
from tests.support.waiting import wait_until

T = TypeVar("T")

OURS = (
    "DEXEXEC_",
    "PG",
    "DATABASE_URL",
    "REDIS_URL",
    "SOLANA_",
    "INPUT_MINT",
    "OUTPUT_MINT",
    "PORT",
    "PYTHON",
    "XDG_",
    "OTEL_",
)
SHOWN = 6_000
"""Characters of each output that a failed test shows."""

QUICK = {"DEXEXEC_MOCK_LATENCY_MS": "0", "DEXEXEC_MOCK_LANDING_MS": "0", "DEXEXEC_RETRY_BASE_MS": "10"}
"""Mock venues without delays."""


class Process:
    """One `python -m dexexec ...`."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], folder: Path, prefix: tuple[str, ...]):
        self.arguments, self.environment = arguments, environment
        folder.mkdir()
        self._out, self._err = folder / "stdout", folder / "stderr"
        self.started = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._popen = subprocess.Popen(
                [*prefix, sys.executable, "-m", "dexexec", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def banner(self) -> str:
        """The banner, once it is printed."""
        return self._expect(lambda: self.out if "Ctrl-C" in self.out else "", "the banner")

    def address(self, label: str) -> str:
        """The address that has this label in its banner."""
        line = next(line for line in self.banner().splitlines() if line.strip().startswith(label))
        return line.split()[1]

    @property
    def url(self) -> str:
        """The HTTP address, from its banner."""
        return self.address("Health").removesuffix("/readyz")

    def logged(self, event: str, seconds: float = 20.0) -> dict[str, object]:
        """The first log line about `event`, once it is there."""

        def find() -> dict[str, object] | None:
            lines = (json.loads(line) for line in self.err.splitlines() if line.startswith("{") and line.endswith("}"))
            return next((line for line in lines if line.get("event") == event), None)

        found = self._expect(find, f"the log line {event!r}", seconds)
        assert found is not None
        return found

    def ready(self) -> float:
        """Wait until /readyz answers 200; returns the seconds since the start of the process."""
        url = self.url
        self._expect(lambda: status(f"{url}/readyz") == 200, "/readyz to answer 200")
        return time.monotonic() - self.started

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Signal it; with `group` all of its process group, as a terminal does on Ctrl-C."""
        (os.killpg if group else os.kill)(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait(10)

    def wait(self, seconds: float = 30.0) -> int:
        """Its exit code."""
        return self._popen.wait(seconds)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; the exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def leaks(self) -> list[str]:
        """Where its output has a secret of its settings: no test of any process may find one."""
        secrets = canaries_of(self.environment)
        output = (("stdout", self._out), ("stderr", self._err))
        return [leak for place, file in output for leak in leaks(secrets, place, file.read_bytes())] if secrets else []

    def show(self) -> None:
        """Print its output, to show why a test failed."""
        state = "still runs" if self.running else f"exit code {self._popen.returncode}"
        say(f"\n--- dexexec {' '.join(self.arguments)} (pid {self.pid}, {state})")
        for name, text in (("stdout", self.out), ("stderr", self.err)):
            cut = f"... {len(text) - SHOWN} characters ...\n" if len(text) > SHOWN else ""
            say(f"--- {name}\n{cut}{text[-SHOWN:]}")

    def _expect(self, condition: Callable[[], T], what: str, seconds: float = 20.0) -> T:
        def met() -> tuple[T] | None:
            answer = condition()
            assert answer or self.running, f"ended with {self._popen.returncode} before {what}: {self.err[-2_000:]}"
            return (answer,) if answer else None

        found = wait_until(met, seconds, what)
        assert found is not None
        return found[0]


class Launcher:
    """The processes of one test. `environment` holds the settings that all of them share."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment
        self._folder = Path(tempfile.mkdtemp(prefix="dxs"))
        self.processes: list[Process] = []
        self.prefix: tuple[str, ...] = ()
        """A command of this project."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        for process in self.processes:
            process.kill()
        folders = {
            Path(p.environment["DEXEXEC_DATA_DIR"]) for p in self.processes if "DEXEXEC_DATA_DIR" in p.environment
        }
        for folder in folders | {lock.parent.parent for lock in self._folder.rglob("server.lock")}:
            stop_servers(folder)
        if kind is not None:
            for process in self.processes:
                process.show()
        leaked = [leak for process in self.processes for leak in process.leaks()]
        shutil.rmtree(self._folder)
        assert kind or not leaked, leaked

    def start(self, *arguments: str, **environment: str) -> Process:
        """Start `python -m dexexec *arguments`, in our own environment without its and Python's settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        ours = {"HOME": str(self._folder), "PORT": "0", "DEXEXEC_START_SECONDS": "0"}
        environment = {**kept, **ours, **self.environment, **environment}
        process = Process(arguments, environment, self._folder / str(len(self.processes)), self.prefix)
        self.processes.append(process)
        return process

    @property
    def home(self) -> Path:
        """HOME of all processes."""
        return self._folder


def say(text: str) -> None:
    """On standard output, which pytest shows of a test that failed."""
    print(text)  # noqa: T201


def servers_at(address: Address, redis_url: str, prefix: str) -> dict[str, str]:
    """The settings that name given servers."""
    settings = {
        "PG_HOST": address.host,
        "PG_PORT": str(address.port),
        "PG_USER": address.user,
        "PG_DATABASE": address.database,
        "REDIS_URL": redis_url,
        "DEXEXEC_REDIS_PREFIX": prefix,
    }
    return settings | ({"PG_PASSWORD": address.password} if address.password else {})


def status(url: str) -> int:
    """The status of a GET; 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http, to ourselves
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
