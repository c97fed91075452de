"""The guard's tests run with messages of all forms: the same swap is refused or allowed in each."""

from collections.abc import Iterator

import pytest

from dexexec.settlement.solana.message import Version
from tests.support.swap_transactions import compiled_as

GUARD = "test_guard_"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the guard's files, once per version, and in version 0 also with a lookup table."""
    if metafunc.module.__name__.rpartition(".")[2].startswith(GUARD):
        metafunc.fixturenames.append("version")
        forms = [*((version, False) for version in Version), (Version.V0, True)]
        metafunc.parametrize("version", forms, ids=["0", "1", "table"], indirect=True)


@pytest.fixture
def version(request: pytest.FixtureRequest) -> Iterator[None]:
    """The form of the messages that a test compiles."""
    version, looked_up = request.param
    with compiled_as(version, looked_up=looked_up):
        yield
