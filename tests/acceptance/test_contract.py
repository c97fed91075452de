"""schemathesis against the live service: valid and invalid data of every operation of its own OpenAPI document, with
all checks of the tool. `tests/support/fuzzing` has its configuration."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service.process import Launcher

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "tests" / "support" / "fuzzing" / "schemathesis.toml"
BUSY = {"DEXEXEC_CLIENT_ORDERS_PER_MINUTE": "1000000", "DEXEXEC_MAX_QUEUE": "100000"}
SHORT = """
# These two have two thirds of all cases; the long form has them.
[[operations]]
include-name = "POST /api/orders/execute"
phases.coverage.enabled = false

[[operations]]
include-name = "GET /api/costs"
phases.coverage.enabled = false
"""


def run(launcher: Launcher, folder: Path, *options: str, more: str = "", seconds: float = 240) -> None:
    service = launcher.start(**BUSY)
    service.ready()
    configuration = folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.read_text() + more)
    program = Path(sys.executable).with_name("schemathesis")
    location = f"{service.url}/openapi.json"
    command = [str(program), "--config-file", str(configuration), "run", location, *options]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "Tested: " in done.stdout, "it has run"
    assert service.stop() == 0
    assert "request crashed" not in service.err


@pytest.mark.timeout(300)
def test_the_service_keeps_its_contract(launcher: Launcher, tmp_path: Path) -> None:
    run(launcher, tmp_path, "--max-examples", "3", "--no-shrink", more=SHORT)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_service_keeps_its_contract_in_many_cases(launcher: Launcher, tmp_path: Path) -> None:
    run(launcher, tmp_path, "--max-examples", "100", seconds=880)
