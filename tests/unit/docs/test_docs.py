"""Compares the documents with the code: settings, routes, statuses, reasons, commands, links, file and test names."""

import argparse
import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dexexec.api.app import ROUTES, Route
from dexexec.api.problems import PROBLEMS
from dexexec.api.websocket_registry import CloseCode
from dexexec.cli.main import parser
from dexexec.config.settings import Settings, env_name
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.domain.wait_reason import WaitsFor
from dexexec.settlement.guard_errors import GuardError
from dexexec.venue import VENUE_ERRORS, VenueError
from dexexec.venues import references
from dexexec.venues.registry import installed, load

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
API, OPERATIONS, SETTINGS = DOCS / "API.md", DOCS / "OPERATIONS.md", DOCS / "SETTINGS.md"
STREAM, PROMISES = DOCS / "STREAM.md", DOCS / "PROMISES.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")])
DATA_DIR = "DEXEXEC_DATA_DIR"
"""Its default depends on the machine."""


# Settings


def shown(value: object) -> str:
    """A default as it is written in the environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings() -> dict[str, tuple[str, str]]:
    """Every variable -> its default and its description."""
    found = {env_name(name): info for name, info in Settings.model_fields.items()}
    for point in installed().values():
        if point.value.startswith("dexexec_adapters."):
            [venue] = load([point.name])
            found |= {venue.options_prefix + name.upper(): info for name, info in venue.Options.model_fields.items()}
    for name in references.installed():
        reference = references.load(name)
        own = {reference.options_prefix + field.upper(): info for field, info in reference.Options.model_fields.items()}
        assert all(own[variable].description == found[variable].description for variable in own.keys() & found.keys())
        found = own | found
    return {
        name: ("" if name == DATA_DIR else shown(info.default), info.description or "") for name, info in found.items()
    }


def test_env_example_has_every_setting_with_its_default_and_nothing_else() -> None:
    entry = re.compile(r"^# (?P<words>.+)\n(?:# .+\n)*#(?P<name>[A-Z_]+)=(?P<value>.*)$", re.MULTILINE)
    text = (ROOT / ".env.example").read_text()
    assert {m["name"]: (m["value"], m["words"]) for m in entry.finditer(text)} == settings()
    assert len(re.findall("^#?[A-Z_]+=", text, re.MULTILINE)) == len(settings()), "each once, and commented out"


def test_the_table_of_settings_has_every_setting_with_its_default_and_nothing_else() -> None:
    row = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?:`(?P<value>[^`]+)`|unset) \| (?P<words>.+) \|$", re.MULTILINE)
    found = {m["name"]: (m["value"] or "", m["words"]) for m in row.finditer(SETTINGS.read_text())}
    assert found.pop(DATA_DIR) == ("~/.local/share/dexexec", settings()[DATA_DIR][1])
    assert found == {name: about for name, about in settings().items() if name != DATA_DIR}


# What clients and operators meet


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_a_route_is_documented(route: Route) -> None:
    for method in set(route.methods) - {"HEAD", "OPTIONS"}:
        assert f"| `{method} {route.path}` |" in API.read_text()


@pytest.mark.parametrize("status", Status)
def test_a_status_is_documented(status: Status) -> None:
    assert re.search(rf"^\| .*`{status}`.* \|", API.read_text(), re.MULTILINE)


def test_every_problem_is_documented_with_its_status_and_no_other() -> None:
    found = re.findall(r"^\| `/problems/([a-z-]+)` \| (\d+) \|", API.read_text(), re.MULTILINE)
    assert dict(found) == {code: str(error.http_status) for code, error in PROBLEMS.items()}


def commands(of: argparse.ArgumentParser, path: str = "dexexec") -> Iterator[str]:
    deeper = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    if not deeper or not deeper[0].required:
        yield path
    for action in deeper:
        for name, child in action.choices.items():
            yield from commands(child, f"{path} {name}")


@pytest.mark.parametrize("command", list(commands(parser())))
def test_a_command_is_documented(command: str) -> None:
    assert re.search(rf"^\| `{command}( NAME| ID)?` \|", OPERATIONS.read_text(), re.MULTILINE)


def test_every_reason_of_a_failed_order_is_documented_and_no_other() -> None:
    table = OPERATIONS.read_text().partition("| `failureReason` |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    documented = {code for cell in cells for code in re.findall("`([a-z-]+)`", cell)}
    assert documented == set(FailureReason)
    errors: tuple[type[VenueError], ...] = (VenueError, GuardError, *VENUE_ERRORS)
    assert {error.code for error in errors} <= documented


def test_every_reason_to_wait_is_documented_and_no_other() -> None:
    table = OPERATIONS.read_text().partition("| `waitingFor.reason` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE) == list(WaitsFor)


def test_every_outcome_of_an_attempt_is_documented_and_no_other() -> None:
    table = API.read_text().partition("| `attempts.outcome` |")[2].partition("\n\n")[0]
    documented = re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)
    assert set(documented) == set(Outcome) - {Outcome.CONFIRMED}, "a confirmed attempt is shown as open"


# The stream


def test_every_error_code_of_the_stream_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", STREAM.read_text(), re.MULTILINE)
    assert {code for row in rows for code in re.findall("`([a-z-]+)`", row)} == set(StreamErrorCode)


def test_every_close_code_of_the_stream_is_documented() -> None:
    for code in {*CloseCode, 1009}:
        assert re.search(rf"^\| {code:d} \|", STREAM.read_text(), re.MULTILINE), code


# The documents among themselves


FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
"""A block of code, in which a line with `#` is a comment and no heading."""
CODE_PATH = re.compile(r"`([\w.*/-]+\.(?:py|sql|toml|lock))(?:::[^`]*)?`")
"""A file in backticks, also with `::` and the name of a test behind it."""
EXAMPLES = {"desk.py"}
"""Files that the reader makes."""


@cache
def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the document's headings; of equal ones, the second and later have a number."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall("^#+ (.+)$", FENCED.sub("", document.read_text()), re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def exists(name: str, document: Path) -> bool:
    """Whether a file has this path from one of `places`; a name without a folder may be anywhere."""
    if "/" not in name and any(ROOT.glob(f"[!.]*/**/{name}")):
        return True
    places = (ROOT, ROOT / "dexexec", ROOT / "adapters", document.parent)
    return any(any(place.glob(name)) for place in places)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_no_link_to_a_file_is_dead(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)#?([^)\s]*)\)", document.read_text()):
        found = (document.parent / target).resolve() if target else document
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_file_that_is_named_exists(document: Path) -> None:
    names = set(CODE_PATH.findall(document.read_text())) - EXAMPLES
    assert sorted(name for name in names if not exists(name, document)) == []


def test_the_index_names_every_page() -> None:
    linked = set(re.findall(r"^\| \[[^]]+\]\(([A-Z]+\.md)\) \|", (DOCS / "README.md").read_text(), re.MULTILINE))
    assert linked == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def promises() -> dict[int, list[str]]:
    """Number -> the tests that are named for it."""
    _, *parts = re.split(r"^## (\d+)\. ", PROMISES.read_text(), flags=re.MULTILINE)
    return {
        int(n): re.findall(r"^\* `(.+)`$", text, re.MULTILINE) for n, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_every_promise_has_its_tests() -> None:
    assert [*promises()] == sorted({*promises()})
    assert {*range(1, 16), 17, 18, 19, 20, 21, 22, 24} <= {*promises()}
    assert [number for number, tests in promises().items() if not tests] == []


def test_every_test_that_carries_a_promise_exists() -> None:
    named = {test for tests in promises().values() for test in tests}
    missing = {test for test in named if test.partition("::")[2] not in functions_of(test.partition("::")[0])}
    assert missing == set()


# Reading the code


@cache
def functions_of(path: str) -> set[str]:
    """The functions of a test file, none when there is no such file."""
    nodes = ast.walk(tree(ROOT / path)) if (ROOT / path).is_file() else ()
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
