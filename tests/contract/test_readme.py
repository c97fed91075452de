"""What the README shows is true: its adapter keeps the contract, and its bad order is refused in just those words."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest

from dexexec.api import problems
from dexexec.config.settings import Settings
from dexexec.errors import InvalidOrderError
from dexexec.intake.order_body import BodyReader
from dexexec.testing.contract import Verdict, report
from dexexec.testing.harness import Harness
from dexexec.venues.registry import load

README = (Path(__file__).parents[2] / "README.md").read_text()
[CODE] = re.findall(r'```python\n(""".*?)```', README, re.DOTALL)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The README's adapter as the module `desk`."""
    module = ModuleType("desk")
    monkeypatch.setitem(sys.modules, "desk", module)
    exec(compile(CODE, "desk.py", "exec"), module.__dict__)  # noqa: S102
    return module


async def test_the_adapter_is_complete_and_keeps_every_rule_that_applies_to_it(desk: ModuleType) -> None:
    [found] = load(["desk:Desk"])
    results = await report(Harness(found))
    assert [result for result in results if result.verdict is Verdict.FAIL] == []
    kept = sum(result.verdict is Verdict.OK for result in results)
    told = re.search(r"^(\d+) of (\d+) rules kept, 0 broken, (\d+) not applicable$", README, re.MULTILINE)
    assert told is not None
    assert tuple(map(int, told.groups())) == (kept, len(results), len(results) - kept)


def test_the_adapter_fits_on_a_screen() -> None:
    assert sum(bool(line.strip()) for line in CODE.splitlines()) <= 32


def test_the_bad_order_is_refused_in_the_words_that_are_shown() -> None:
    example = re.search(r"-d '(\{\"side\": \"hold\".*?\})'\n```\n```json\n(.*?)```", README, re.DOTALL)
    assert example is not None
    body, shown = example.groups()
    with pytest.raises(InvalidOrderError) as caught:
        BodyReader(Settings(_env_file=None)).read(body.encode(), UUID(int=1), "127.0.0.1", None)
    answer = json.loads(shown)
    assert problems.document(caught.value, answer["instance"]) == answer
