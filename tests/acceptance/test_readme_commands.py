"""The README's commands for a second terminal, run in their order against the service."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service.embedded_servers import stop_servers
from tests.support.service.process import OURS, QUICK, Launcher

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[1:5]
"""The blocks that begin in the first column, after the one that starts the service."""
SECONDS = 60

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def launcher(data_dir: Path) -> Iterator[Launcher]:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **QUICK) as launcher:
        yield launcher
    stop_servers(data_dir)


def adapted(command: str, url: str) -> str:
    """The command for a service at `url` and for the interpreter of this test."""
    command = command.replace("127.0.0.1:3000", url.removeprefix("http://"))
    return command.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace("| python3", f"| {sys.executable}")


def test_the_commands_run_in_a_second_terminal_and_print_what_is_shown(launcher: Launcher, tmp_path: Path) -> None:
    service = launcher.start()
    service.ready()
    port = service.url.rpartition(":")[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | {"PORT": port}
    script = "\necho '-- next'\n".join(adapted(command, service.url) for command in COMMANDS)
    done = subprocess.run(
        ["sh", "-ec", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    posted, order, demo, stream = done.stdout.split("-- next\n")
    order_id = json.loads(posted)["orderId"]
    assert order == json.dumps(json.loads(order), indent=4) + "\n", "printed pretty"
    assert json.loads(order)["orderId"] == order_id
    assert "Orders   3: 3 confirmed, 0 failed" in demo
    events = [line.split() for line in stream.splitlines()]
    assert [seq for seq, _ in events] == [str(event["seq"]) for event in json.loads(order)["events"]]
    assert events[-1][1] == "confirmed"


def test_the_set_up_and_test_commands_are_the_first_that_are_shown() -> None:
    [block] = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[:1]
    assert [line.partition("#")[0].strip() for line in block.splitlines()] == [
        "pip install uv && uv run python -m dexexec",
        "pip install uv && uv run pytest",
    ]
    assert "run uv run pytest\n" in (ROOT / ".ci" / "run").read_text(), "CI runs the README's test command"
