"""The guard's tests run with messages of both versions: the same swap is refused or allowed in either."""

from collections.abc import Iterator

import pytest

from dexexec.settlement.solana.message import Version
from tests.support.swap_transactions import compiled_as

GUARD = "test_guard_"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the guard's files, once per version."""
    if metafunc.module.__name__.rpartition(".")[2].startswith(GUARD):
        metafunc.fixturenames.append("version")
        metafunc.parametrize("version", list(Version), ids=str, indirect=True)


@pytest.fixture
def version(request: pytest.FixtureRequest) -> Iterator[None]:
    """The version of the messages that a test compiles."""
    with compiled_as(request.param):
        yield
