"""Importing the client loads neither the service nor what that is made of."""

import subprocess
import sys

import pytest

MOST_MODULES = 400
"""Most of them are of the standard library, httpx2 and websockets."""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    code = "import sys, dexexec.client; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_only_the_rooms_of_the_client_are_loaded(loaded: set[str]) -> None:
    rooms = {name.split(".")[1] for name in loaded if name.startswith("dexexec.")}
    assert rooms == {"client", "domain", "errors"}
    libraries = {"tornado", "pydantic", "psycopg", "redis", "structlog", "rich", "uvloop", "solders", "dotenv"}
    assert libraries & loaded == set()


def test_it_loads_few_modules(loaded: set[str]) -> None:
    assert len(loaded) < MOST_MODULES
