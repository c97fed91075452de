"""Output whose reader stops reading, leaves or comes back: it delays no part, and dropped lines are counted."""

import errno
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dexexec.observe import log_output
from dexexec.observe.log_output import ThreadedWriter, threaded_output

PATIENCE = 30


class Pipe:
    """A pipe, and a writer on it."""

    def __init__(self, limit: int) -> None:
        self.read_end, self.write_end = os.pipe()
        self.writer = ThreadedWriter(self.write_end, limit)

    def fill(self) -> int:
        """Until it takes no more; how many bytes that were."""
        os.set_blocking(self.write_end, False)
        size = 0
        for piece in (4_096, 1):
            try:
                while True:
                    size += os.write(self.write_end, b"x" * piece)
            except BlockingIOError:
                continue
        os.set_blocking(self.write_end, True)
        return size

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            found += os.read(self.read_end, size - len(found))
        return found

    def lines(self, last: str) -> list[str]:
        """All lines up to one that begins with `last`."""
        found = b""
        while not found.rpartition(b"\n")[0].rpartition(b"\n")[2].startswith(last.encode()) or found[-1:] != b"\n":
            found += os.read(self.read_end, 65_536)
        return found.decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(10_000)
    yield pipe
    os.set_blocking(pipe.read_end, False)
    os.close(pipe.read_end)  # ends a thread that waits in a write
    pipe.writer.close()
    os.close(pipe.write_end)


def test_what_is_written_arrives_whole_and_in_order(pipe: Pipe) -> None:
    for number in range(100):
        print("line", number, file=pipe.writer, flush=True)
    pipe.writer.close()
    assert pipe.lines("line 99") == [f"line {number}" for number in range(100)]


def test_a_reader_that_does_not_read_delays_no_part_and_gets_the_number_of_missed_lines(pipe: Pipe) -> None:
    filled = pipe.fill()
    for _ in range(3_000):
        pipe.writer.write("0123456789\n")  # would block here
    pipe.read(filled)
    lines = pipe.lines("dexexec: ")
    kept = lines.count("0123456789")
    assert 0 < kept <= 10_000 / 11 + 1
    assert lines == ["0123456789"] * kept + [
        f"dexexec: {3_000 - kept} lines were dropped because the reader was too slow"
    ]
    pipe.writer.write("after\n")
    assert pipe.lines("after") == ["after"]


def test_a_reader_that_does_not_read_does_not_hold_up_the_exit(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_output, "CLOSE_SECONDS", 0.05)
    pipe.fill()
    pipe.writer.write("never read\n")
    pipe.writer.close()
    pipe.writer.write("later\n")


def test_a_reader_that_has_gone_has_no_effect_and_does_not_delay_the_exit() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    writer = ThreadedWriter(write_end)
    writer.write("nobody hears it\n")
    begun = time.monotonic()
    writer.close()
    assert time.monotonic() - begun < PATIENCE
    os.close(write_end)


def test_what_a_full_disk_refused_is_written_once_there_is_room(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_output, "RETRY_SECONDS", 0.01)
    write, refused = os.write, threading.Event()

    def full(descriptor: int, data: bytes) -> int:
        if descriptor == pipe.write_end and not refused.is_set():
            refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    pipe.writer.write("one\n")
    assert refused.wait(PATIENCE)
    pipe.writer.write("two\n")
    assert pipe.lines("two") == ["one", "two"]


def test_a_descriptor_that_others_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    filled = pipe.fill()
    os.set_blocking(pipe.write_end, False)
    pipe.writer.write("patient\n")
    pipe.read(filled)
    assert pipe.lines("patient") == ["patient"]


def test_text_that_is_no_unicode_is_written_escaped(pipe: Pipe) -> None:
    pipe.writer.write("a\udcffb\n")
    assert pipe.lines("a") == ["a\\udcffb"]


def test_what_has_become_due_is_written_at_the_end(pipe: Pipe) -> None:
    class Notices:
        left = 1

        def dropped(self, count: int) -> str:
            return f"dropped {count}\n"

        def due(self, *, everything: bool) -> list[str]:
            if not everything or not self.left:
                return []
            self.left = 0
            return ["7 more like this\n"]

    pipe.writer.use_notices(Notices())
    pipe.writer.write("first\n")
    pipe.writer.close()
    assert pipe.lines("7 more") == ["first", "7 more like this"]


def test_a_crash_is_printed_before_the_process_ends_and_its_exit_code_is_1() -> None:
    program = (
        "from dexexec.observe.log_output import threaded_output\n"
        "with threaded_output():\n"
        "    print('out')\n"
        "    raise KeyError('nobody foresaw it')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (1, "out\n")
    assert done.stderr.endswith("KeyError: 'nobody foresaw it'\n")
    assert "Traceback" in done.stderr


def test_streams_without_a_descriptor_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    with threaded_output():
        sys.stdout.write("to a test\n")
    assert out.getvalue() == "to a test\n"
