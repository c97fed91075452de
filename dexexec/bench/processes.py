"""The child processes of a benchmark: the service, the load client and the bare server.

All of them end with their `ProcessGroup`, and every wait ends early when the user presses Ctrl-C.
"""

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
"""The folder that contains the package `dexexec`."""


class BenchError(DexexecError):
    """A part cannot be measured. The message gives the reason."""


class StoppedError(DexexecError):
    """The user stopped the benchmark."""


class ProcessGroup:
    """Starts child processes in `folder`. `stop_requested` returns whether the user wants to stop."""

    def __init__(self, folder: Path, stop_requested: Callable[[], bool]) -> None:
        self._folder = folder
        self._stop_requested = stop_requested
        self._children: list[Child] = []

    def raise_if_stopped(self) -> None:
        """Raises `StoppedError` if the user wants to stop."""
        if self._stop_requested():
            raise StoppedError("stopped")

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `condition` holds. Raises `BenchError` after `seconds`, and `StoppedError`."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.raise_if_stopped()
            if time.monotonic() > deadline:
                raise BenchError(f"waited {seconds:g} s in vain for {what}")
            time.sleep(POLL_SECONDS)

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises `StoppedError`."""
        deadline = time.monotonic() + seconds
        # In short naps: a signal handler only sets a flag, so a long sleep would go on after Ctrl-C.
        while (left := deadline - time.monotonic()) > 0:
            self.raise_if_stopped()
            time.sleep(min(left, POLL_SECONDS))

    def start(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> "Child":
        """Run `python *arguments` with this environment and no other variables."""
        self.raise_if_stopped()
        child = Child(name, arguments, environment, self._folder / f"{len(self._children)}", self)
        self._children.append(child)
        return child

    def close(self) -> None:
        """Stop all children that still run, the last started one first."""
        for child in reversed(self._children):
            child.stop()


class Child:
    """One child process. Its errors go to a file, its output is read line by line."""

    def __init__(
        self, name: str, arguments: list[str], environment: Mapping[str, str], folder: Path, processes: ProcessGroup
    ) -> None:
        self.name = name
        self._processes = processes
        folder.mkdir()
        self._errors = folder / "stderr"
        # Children run in another folder, and must import the same sources as this process.
        path = os.pathsep.join(filter(None, (str(SOURCES), os.environ.get("PYTHONPATH"))))
        with self._errors.open("wb") as errors:
            self._popen = subprocess.Popen(  # noqa: S603
                [sys.executable, *arguments],
                cwd=folder,
                env={**environment, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Ctrl-C goes to the whole session of the terminal. The benchmark ends its children itself, in order.
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._unread = b""
        os.set_blocking(self._output.fileno(), False)

    @property
    def _output(self) -> IO[bytes]:
        assert self._popen.stdout is not None  # noqa: S101 - a pipe
        return self._popen.stdout

    def line(self, seconds: float, starting: str = "") -> str:
        """The next line of its output that begins with `starting`. Raises `BenchError` when the process ends or takes
        longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if newline:
                self._unread = rest
                if line.decode().strip().startswith(starting):
                    return line.decode().strip()
                continue
            self._processes.raise_if_stopped()
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not answer within {seconds:g} s")
            if select.select([self._output], [], [], POLL_SECONDS)[0]:
                data = self._output.read()
                # An empty read is the end of the output; None means that there is nothing to read yet.
                if data == b"":
                    raise BenchError(f"{self.name} ended with status {self._popen.wait()}: {self.last_error_line()}")
                self._unread += data or b""

    def write(self, text: str) -> None:
        """Write to its standard input. Raises `BenchError` when the process has ended."""
        assert self._popen.stdin is not None  # noqa: S101 - a pipe
        try:
            self._popen.stdin.write(text.encode())
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"{self.name} ended with status {self._popen.wait()}: {self.last_error_line()}") from None

    def last_error_line(self) -> str:
        """The last line that it wrote to standard error."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it printed no error"

    def has_errors(self) -> bool:
        """Whether it wrote anything to standard error."""
        return self._errors.stat().st_size > 0

    def finish(self, seconds: float) -> None:
        """Wait for its end. Raises `BenchError` when it fails or takes longer than `seconds`."""
        self._processes.wait(lambda: self._popen.poll() is not None, seconds, f"{self.name} to end")
        if self._popen.returncode:
            raise BenchError(f"{self.name} ended with status {self._popen.returncode}: {self.last_error_line()}")

    def stop(self) -> None:
        """End it with SIGTERM, or with SIGKILL when it does not drain in time."""
        # The load client and the bare server exit when their input ends; the service needs the signal.
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            self._popen.stdin.close()
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(DRAIN_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._output.close()


class LoadClient:
    """The load client's process. It starts with the first job."""

    def __init__(self, processes: ProcessGroup, environment: Mapping[str, str]) -> None:
        self._processes = processes
        self._environment = environment
        self._child: Child | None = None

    def run_job(self, kind: str, url: str, limit: float, /, **job: object) -> dict[str, Any]:
        """Run one job within `limit` seconds and return its figures. Raises `BenchError`."""
        if self._child is None:
            self._child = self._processes.start(
                "the load client", ["-m", "dexexec.bench.client.main"], self._environment
            )
        self._child.write(json.dumps({"kind": kind, "url": url, **job}) + "\n")
        try:
            answer = json.loads(self._child.line(limit))
        except BenchError:
            # Its next output would be the answer to this job, so the next job needs a new process.
            child = self._child
            self._child = None
            child.stop()
            raise
        if not isinstance(answer, dict) or "error" in answer:
            raise BenchError(f"the load client: {answer}")
        # A client that printed a traceback goes on with wrong counts.
        if self._child.has_errors():
            raise BenchError(f"the load client: {self._child.last_error_line()}")
        return answer


class Service:
    """The service, as one process (`all`) or as several roles with their options (`all --processes 2`).

    `url` is set by `ready`.
    """

    def __init__(self, processes: ProcessGroup, roles: list[str], environment: Mapping[str, str]) -> None:
        self._processes = processes
        self.children = [
            processes.start(f"dexexec {role}", ["-m", "dexexec", *role.removeprefix("all").split()], environment)
            for role in roles
        ]
        # A worker alone has no HTTP API.
        self._serving = next(child for child, role in zip(self.children, roles, strict=True) if role != "worker")
        self.url = ""

    def ready(self) -> "Service":
        """Wait until it reports that it is ready."""
        # The port is chosen by the system, so the service's own output is the only source of the URL.
        health = self._serving.line(START_SECONDS, "Health")
        self.url = health.split()[1].removesuffix("/readyz")
        self._processes.wait(lambda: get_status(f"{self.url}/readyz") == 200, START_SECONDS, "the service")
        return self

    def pids(self) -> dict[str, list[int]]:
        """The process ids of each role, with its children."""
        return {child.name: [child.pid, *children_of(child.pid)] for child in self.children}

    def stop(self) -> None:
        """Stop all roles; each drains first."""
        for child in self.children:
            child.stop()


def children_of(pid: int) -> list[int]:
    """The children of a process. Empty if the system has no /proc."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def get_status(url: str) -> int:
    """The status of a GET, or 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http, to a server under test
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
