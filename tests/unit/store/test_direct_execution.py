"""How statements with psycopg's placeholders become Postgres' own."""

import pytest
from psycopg.adapt import PyFormat

from dexexec.store.direct_execution import native


@pytest.mark.parametrize(
    ("statement", "text", "names"),
    [
        ("SELECT 1", b"SELECT 1", None),
        ("SELECT %s, %t", b"SELECT $1, $2", None),
        ("SELECT %(a)s, %(b)t, %(a)s", b"SELECT $1, $2, $1", ("a", "b")),
        ("SELECT 7 %% %s LIKE '%%'", b"SELECT 7 % $1 LIKE '%'", None),
        ("SELECT 7 %% %(a)s", b"SELECT 7 % $1", ("a",)),
    ],
)
def test_placeholders_get_numbers(statement: str, text: bytes, names: tuple[str, ...] | None) -> None:
    assert native(statement).text == text
    assert native(statement).names == names


def test_each_value_has_the_format_of_its_first_placeholder() -> None:
    assert native("%s %b %t").formats == (PyFormat.AUTO, PyFormat.BINARY, PyFormat.TEXT)
    assert native("%(x)t %(y)b %(x)t").formats == (PyFormat.TEXT, PyFormat.BINARY)


def test_values_are_arranged_by_name_or_place() -> None:
    assert native("%(b)s %(a)s").arranged({"a": 1, "b": 2, "c": 3}) == [2, 1]
    assert native("%s %s").arranged((1, 2)) == (1, 2)
    with pytest.raises(KeyError):
        native("%(missing)s").arranged({})
