"""SECURITY.md names a test for each defence, and the tests exist."""

import re

import pytest

from tests.unit.docs.test_docs import ROOT, functions_of

DEFENCES = re.findall(r"^\| (.+) \| (.+) \| `(tests/.+)::(.+)` \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)


def test_every_defence_has_a_test() -> None:
    table = (ROOT / "SECURITY.md").read_text().partition("| attack | defence | test |")[2].partition("\n\n")[0]
    assert len(DEFENCES) == table.strip().count("\n") > 20


@pytest.mark.parametrize(("path", "name"), [(path, name) for _, _, path, name in DEFENCES])
def test_the_test_of_a_defence_exists(path: str, name: str) -> None:
    assert name in functions_of(path)
