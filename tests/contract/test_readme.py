"""Runs the examples of the documents: the adapter and the refused order."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest

from dexexec.api import problems
from dexexec.config.settings import Settings
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.errors import InvalidOrderError
from dexexec.intake.order_body import BodyReader
from dexexec.testing.clock import ManualClock
from dexexec.testing.contract import Verdict, report
from dexexec.testing.harness import Harness
from dexexec.venues import references
from dexexec.venues.registry import load

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
ADAPTERS, API = ((ROOT / name).read_text() for name in ("docs/ADAPTERS.md", "docs/API.md"))
CODE, REFERENCE = re.findall(r'```python\n(""".*?)```', ADAPTERS, re.DOTALL)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The adapter of docs/ADAPTERS.md as the module `desk`."""
    module = ModuleType("desk")
    monkeypatch.setitem(sys.modules, "desk", module)
    exec(compile(CODE, "desk.py", "exec"), module.__dict__)  # noqa: S102
    return module


async def test_the_adapter_is_complete_and_keeps_every_rule_that_applies_to_it(desk: ModuleType) -> None:
    [found] = load(["desk:Desk"])
    results = await report(Harness(found))
    assert [result for result in results if result.verdict is Verdict.FAIL] == []
    kept = sum(result.verdict is Verdict.OK for result in results)
    summary = re.search(r"^(\d+) of (\d+) rules kept, 0 broken, (\d+) not applicable$", ADAPTERS, re.MULTILINE)
    assert summary is not None
    [first] = re.findall(r"^  ok    ([a-z-]+) +(.+)$", ADAPTERS, re.MULTILINE)
    assert first == (results[0].rule, results[0].promise)
    assert tuple(map(int, summary.groups())) == (kept, len(results), len(results) - kept)


async def test_the_reference_price_works_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("desk_price")
    monkeypatch.setitem(sys.modules, "desk_price", module)
    exec(compile(REFERENCE, "desk_price.py", "exec"), module.__dict__)  # noqa: S102
    reference = references.create(references.load("desk_price:DeskPrice"), {}, ManualClock(), Tokens(KNOWN), {})
    there, back = await reference.price(WSOL, USDC), await reference.price(USDC, WSOL)
    assert there is not None
    assert back is not None
    assert there.rate * back.rate == 1
    assert await reference.price(WSOL, "5" * 43) is None


def test_the_adapter_fits_on_a_screen() -> None:
    assert sum(bool(line.strip()) for line in CODE.splitlines()) <= 32


def test_the_bad_order_is_refused_in_the_words_that_are_shown() -> None:
    example = re.search(
        r"-d '(\{\"side\": \"hold\".*?\})' \| python3 -m json.tool\n```\n```json\n(.*?)```", API, re.DOTALL
    )
    assert example is not None
    body, shown = example.groups()
    with pytest.raises(InvalidOrderError) as caught:
        BodyReader(Settings(_env_file=None)).read(body.encode(), UUID(int=1), "127.0.0.1", None)
    answer = json.loads(shown)
    assert shown == json.dumps(answer, indent=4) + "\n", "as json.tool prints it"
    assert problems.document(caught.value, answer["instance"]) == answer
