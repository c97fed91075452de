"""The limit of descriptors is raised once, with a table of its full size."""

import fcntl
import os
import resource
from collections.abc import Iterator

import pytest

from dexexec.config import descriptor_limit


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """The limit of this process stays what it was."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_table_of_descriptors_grows_once_and_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    original = fcntl.fcntl

    def recorded(descriptor: int, command: int, least: int) -> int:
        asked.append((command, least))
        return int(original(descriptor, command, least))

    monkeypatch.setattr(fcntl, "fcntl", recorded)
    open_before = os.listdir("/dev/fd")  # noqa: PTH208 - the names are enough
    descriptor_limit.raise_limit()
    assert len(os.listdir("/dev/fd")) == len(open_before)  # noqa: PTH208
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert asked == [(fcntl.F_DUPFD_CLOEXEC, min(soft, descriptor_limit.UNLIMITED) - 1)]


def test_without_room_for_the_table_the_start_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> int:
        raise OSError("no memory")

    monkeypatch.setattr(fcntl, "fcntl", refused)
    descriptor_limit.raise_limit()
    assert descriptor_limit.for_clients() > 0
