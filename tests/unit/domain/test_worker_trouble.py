"""The text of a worker's trouble, which Postgres keeps with its heartbeat."""

import pytest

from dexexec.domain.worker_trouble import TroubleKind, WorkerTrouble


@pytest.mark.parametrize("kind", TroubleKind)
def test_what_is_stored_is_read_back(kind: TroubleKind) -> None:
    trouble = WorkerTrouble(kind, "no node of a: b answers")
    assert WorkerTrouble.of(str(trouble)) == trouble


def test_a_text_of_an_earlier_version_is_about_nodes() -> None:
    assert WorkerTrouble.of("no node answers: none") == WorkerTrouble(TroubleKind.NODE, "no node answers: none")
