"""Which modules a start imports, and which it leaves until they are needed: the start is mostly imports."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

SERVICE = """
from dexexec.bootstrap import service
from dexexec.venues import registry

registry.load(['mock-raydium', 'mock-meteora'])
"""
"""The all-in-one start on the mocks, up to the first connection."""
COMMAND_LINE = "from dexexec.cli.main import parser; parser()"
"""As much as --help and a misspelt option wait for."""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Code -> the modules that an interpreter of its own has loaded after it."""
    found = {}
    for code in (SERVICE, COMMAND_LINE):
        command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
        found[code] = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    return found


@pytest.mark.parametrize(
    "module",
    [
        "solders",  # for venues that settle on a Solana, and for the localnet
        "httpx2",
        "dexexec.settlement.solana.rpc",
        "dexexec.settlement.solana.wallet",
        "dexexec.localnet",
        "dexexec_adapters.raydium.venue",
        "dexexec_adapters.meteora.venue",
        "dexexec.bench",
        "dexexec.demo.run",
        "dexexec.bootstrap.supervisor",
        "dexexec.testing",
        "dexexec.api.contract.openapi",  # the documents are made with the first request for one
        "dexexec.api.contract.answer",
        "opentelemetry",  # for traces; redis-py and structlog would load these two for nothing
        "rich",
    ],
)
def test_the_service_on_the_mocks_loads_nothing_that_only_others_need(loaded: dict[str, set[str]], module: str) -> None:
    assert find_spec(module) is not None, "this module is gone or has another name: then so should this line"
    assert module not in loaded[SERVICE]


@pytest.mark.parametrize("module", ["pydantic", "redis", "psycopg", "tornado", "rich", "dexexec.bootstrap.service"])
def test_the_command_line_is_read_before_anything_big_is_loaded(loaded: dict[str, set[str]], module: str) -> None:
    assert find_spec(module) is not None
    assert module not in loaded[COMMAND_LINE]
