"""The last resort of a process that has to stop: parts that hang are left behind."""

import subprocess
import sys

HANGS = """
import os, signal, threading
from dexexec.bootstrap.shutdown import StopRequest

stopping = StopRequest()
with stopping.bounded({seconds}, lambda: os._exit(7)):
    {what}
"""


def run(seconds: float, what: str) -> int:
    """The exit code of a process that does `what` within the bound."""
    program = HANGS.format(seconds=seconds, what=what)
    return subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode


def test_promise_15_what_hangs_after_a_sigterm_is_left_behind() -> None:
    assert run(0, "os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait()") == 7


def test_what_ends_in_time_is_not() -> None:
    assert run(3_600, "os.kill(os.getpid(), signal.SIGTERM)") == 0


def test_nothing_is_bounded_before_the_process_has_to_stop() -> None:
    assert run(0, "threading.Event().wait(0.05)") == 0
