"""Runs each test of a module once per version of messages: `from tests.support.message_versions import version`."""

from collections.abc import Iterator

import pytest

from dexexec.settlement.solana.compiler import MessageCompiler, VersionChoice
from dexexec.settlement.solana.message import Version
from tests.support.swap_transactions import VERSION, compiled_as

__all__ = ["compiler", "version"]


@pytest.fixture(params=list(Version), ids=str, autouse=True)
def version(request: pytest.FixtureRequest) -> Iterator[Version]:
    """The version of all messages that a test compiles or has sealed."""
    with compiled_as(request.param):
        yield request.param


def compiler() -> MessageCompiler:
    """Compiles messages of the version that the present test is for."""
    return MessageCompiler(VersionChoice(str(VERSION.get().value)))
