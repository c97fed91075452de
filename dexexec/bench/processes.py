"""The child processes of a benchmark: the service, the load client, a bare server. All end with the block that made
them, and every wait ends early when the user asks to stop."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from dexexec.errors import DexexecError

START_SECONDS = 60.0
DRAIN_SECONDS = 25.0
POLL_SECONDS = 0.02
SOURCES = Path(__file__).parents[2]

Job = dict[str, object]


class BenchError(DexexecError):
    """A part cannot be measured; the words say why."""


class StoppedError(DexexecError):
    """The user wants it to end."""


class ProcessGroup:
    """Starts child processes in `folder`. `asked` says whether the user wants to stop."""

    def __init__(self, folder: Path, asked: Callable[[], bool]) -> None:
        self._folder, self._asked = folder, asked
        self._children: list[Child] = []

    def check(self) -> None:
        """Raises `StoppedError` once the user has asked."""
        if self._asked():
            raise StoppedError("stopped")

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Until `condition` holds. Raises `BenchError` after `seconds`, and `StoppedError`."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise BenchError(f"waited {seconds:g} s in vain for {what}")
            time.sleep(POLL_SECONDS)

    def sleep(self, seconds: float) -> None:
        """Pass the time. Raises `StoppedError`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, POLL_SECONDS))

    def start(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> "Child":
        """`python *arguments`, with that environment and nothing more."""
        self.check()
        child = Child(name, arguments, environment, self._folder / f"{len(self._children)}", self)
        self._children.append(child)
        return child

    def close(self) -> None:
        """End whatever still runs, last started first."""
        for child in reversed(self._children):
            child.stop()


class Child:
    """One process, in a session of its own, so that Ctrl-C reaches only the benchmark."""

    def __init__(
        self, name: str, arguments: list[str], environment: Mapping[str, str], folder: Path, processes: ProcessGroup
    ) -> None:
        self.name, self._processes = name, processes
        folder.mkdir()
        self._errors = folder / "stderr"
        path = os.pathsep.join(filter(None, (str(SOURCES), os.environ.get("PYTHONPATH"))))
        with self._errors.open("wb") as errors:
            self._popen = subprocess.Popen(  # noqa: S603
                [sys.executable, *arguments],
                cwd=folder,
                env={**environment, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._text = b""
        os.set_blocking(self._out.fileno(), False)

    @property
    def _out(self) -> IO[bytes]:
        assert self._popen.stdout is not None  # noqa: S101 - a pipe
        return self._popen.stdout

    def line(self, seconds: float, starting: str = "") -> str:
        """The next line of its output that begins so. Raises `BenchError` when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while True:
            line, found, rest = self._text.partition(b"\n")
            if found:
                self._text = rest
                if line.decode().strip().startswith(starting):
                    return line.decode().strip()
                continue
            self._processes.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not answer within {seconds:g} s")
            if select.select([self._out], [], [], POLL_SECONDS)[0]:
                data = self._out.read()
                if data == b"":
                    raise BenchError(f"{self.name} ended with status {self._popen.wait()}: {self.words()}")
                self._text += data or b""

    def write(self, text: str) -> None:
        """To its standard input. Raises `BenchError` when it has ended."""
        assert self._popen.stdin is not None  # noqa: S101 - a pipe
        try:
            self._popen.stdin.write(text.encode())
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"{self.name} ended with status {self._popen.wait()}: {self.words()}") from None

    def words(self) -> str:
        """The last of what it complained about."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "without a word"

    def complaints(self) -> int:
        """How many lines it wrote to standard error."""
        return len(self._errors.read_text(errors="replace").splitlines())

    def finish(self, seconds: float) -> None:
        """Wait for its end. Raises `BenchError` unless it ends well and in time."""
        self._processes.wait(lambda: self._popen.poll() is not None, seconds, f"{self.name} to end")
        if self._popen.returncode:
            raise BenchError(f"{self.name} ended with status {self._popen.returncode}: {self.words()}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not drain in time."""
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            self._popen.stdin.close()
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(DRAIN_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._out.close()


class LoadClient:
    """The load client's process, started when it is first needed."""

    def __init__(self, processes: ProcessGroup, environment: Mapping[str, str]) -> None:
        self._processes, self._environment = processes, environment
        self._child: Child | None = None

    def do(self, kind: str, url: str, limit: float, /, **job: object) -> dict[str, Any]:
        """One job that takes at most `limit` seconds. Raises `BenchError`; the next job then gets a new process."""
        if self._child is None:
            self._child = self._processes.start(
                "the load client", ["-m", "dexexec.bench.client.main"], self._environment
            )
        self._child.write(json.dumps({"kind": kind, "url": url, **job}) + "\n")
        try:
            answer = json.loads(self._child.line(limit))
        except BenchError:
            child, self._child = self._child, None
            child.stop()
            raise
        if not isinstance(answer, dict) or "error" in answer:
            raise BenchError(f"the load client: {answer}")
        if self._child.complaints():
            raise BenchError(f"the load client: {self._child.words()}")
        return answer


class Service:
    """The service as one process (`all`) or several, each a role with its options (`all --processes 2`); `url` is where
    it takes orders, once `ready`."""

    def __init__(self, processes: ProcessGroup, roles: list[str], environment: Mapping[str, str]) -> None:
        self._processes = processes
        self.children = [
            processes.start(f"dexexec {role}", ["-m", "dexexec", *role.removeprefix("all").split()], environment)
            for role in roles
        ]
        self._serving = next(child for child, role in zip(self.children, roles, strict=True) if role != "worker")
        self.url = ""

    def ready(self) -> "Service":
        """Wait until it says that it is."""
        health = self._serving.line(START_SECONDS, "Health")
        self.url = health.split()[1].removesuffix("/readyz")
        self._processes.wait(lambda: get_status(f"{self.url}/readyz") == 200, START_SECONDS, "the service")
        return self

    def pids(self) -> dict[str, list[int]]:
        """By name of the process."""
        return {child.name: [child.pid, *children_of(child.pid)] for child in self.children}

    def stop(self) -> None:
        """Drain and end."""
        for child in self.children:
            child.stop()


def children_of(pid: int) -> list[int]:
    """The processes that a process started; none where the system does not tell."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def get_status(url: str) -> int:
    """The status of a GET; 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http, to a server under test
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
