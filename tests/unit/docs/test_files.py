"""Files of a size that can be read at once, and migrations that cannot be confused."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = sorted([*ROOT.glob("dexexec/**/*.py"), *ROOT.glob("adapters/**/*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long_to_be_read_at_once(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_each_change_of_the_schema_has_a_number_of_its_own() -> None:
    numbers = [path.name.split("_")[0] for path in sorted((ROOT / "sql").glob("*.sql"))]
    assert len(set(numbers)) == len(numbers) > 0
