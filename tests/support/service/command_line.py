"""What a person does with the program in a terminal: paste its commands, read its answers and its refusals."""

import json
import shutil
import subprocess

import pytest

from tests.support.service.process import Process

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def paste(process: Process) -> str:
    """Run the banner's curl line in a shell, as a person would; the order's id."""
    [line] = [line.strip() for line in process.banner().splitlines() if line.strip().startswith("curl ")]
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=20, check=True)
    return str(json.loads(done.stdout)["orderId"])


def read(url: str) -> dict[str, object]:
    """GET a JSON object with curl."""
    done = subprocess.run(["curl", "-sS", "--fail", url], capture_output=True, text=True, timeout=20, check=True)
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def refuses(process: Process, *words: str) -> None:
    """It ends by itself with one line that has these words in it."""
    assert process.wait(60) not in {0, None}
    warnings = ('"check this setting"', '"node failed"', '"cluster\'s finality"')
    lines = [line for line in process.err.splitlines() if not any(warning in line for warning in warnings)]
    assert len(lines) == 1, process.err
    assert lines[0].startswith("dexexec: ")
    for word in words:
        assert word in lines[0], (word, lines[0])
    assert process.out == ""
    assert "hunter2" not in process.err
