"""Text, codes and errors of others: one clean line, a documented code, and nothing that raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.observe.untrusted_text import (
    LONGEST,
    SHOWN_NAME,
    clean,
    code_of,
    is_retryable,
    is_shared,
    masked_name,
    slug,
)
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.venue import BadAnswer, NoRoute, RateLimited, Unreachable, Unsupported, VenueError


class Moody:
    """Cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("not today")


class Sly(str):
    """A text that does what it likes."""

    __slots__ = ()

    def __getitem__(self, key: object) -> str:
        raise IndexError

    def __str__(self) -> str:
        return self


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("as it is: 12 %, naïve, 価格", "as it is: 12 %, naïve, 価格"),
        ("nul\0", "nul\ufffd"),
        ("half \ud83d a pair", "half \ufffd a pair"),
        ("two\r\nlines\tand\u2028more", "two lines and more"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("right \u202eto left", "right \ufffdto left"),
        ("  trimmed  ", "trimmed"),
        (b"bytes", "b'bytes'"),
        (None, "None"),
        (Moody(), "(cannot be printed)"),
        (Sly("sly\0"), "sly\ufffd"),
        (NoRoute("dry\0"), "dry\ufffd"),
        (
            "GET https://me:pass@venue.example/quote?api-key=abc failed",
            "GET https://***@venue.example/quote?api-key=*** failed",
        ),
    ],
)
def test_text_is_one_printable_line(text: object, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(), st.integers(1, 50))
def test_any_text_becomes_short_printable_and_utf_8(text: str, longest: int) -> None:
    found = clean(text, longest)
    assert len(found) <= longest
    assert found.isprintable()
    found.encode()


def test_long_text_is_cut_with_a_mark() -> None:
    found = clean("so long " * 1_000_000)
    assert len(found) == LONGEST
    assert found.endswith("…")


class OddError(VenueError):
    """An adapter's own error, of no known kind."""

    code = "odd\0 " * 50
    retryable = 1  # type: ignore[assignment]


class OwnLimit(RateLimited):
    """An adapter's own kind of a known error."""

    code = "my-limit"
    retryable = False

    def __init__(self) -> None:
        pass


class Liar(Unreachable):
    """Raises when its `shared` flag is read."""

    @property
    def shared(self) -> bool:
        raise KeyError


@pytest.mark.parametrize(
    ("error", "code", "passes", "shared"),
    [
        (NoRoute("dry"), "no-route", True, False),
        (Unsupported("no"), "unsupported", False, False),
        (BadAnswer("hm", shared=True), "bad-answer", True, True),
        (OddError(), "venue-error", False, False),
        (OwnLimit(), "rate-limited", True, False),
        (Liar(), "unreachable", True, False),
        (GuardError(Rule.SPENT, "too much"), "guard", False, False),
    ],
)
def test_an_error_has_the_code_of_the_kind_that_it_is(error: VenueError, code: str, passes: bool, shared: bool) -> None:
    assert (code_of(error), is_retryable(error), is_shared(error)) == (code, passes, shared)


@pytest.mark.parametrize("code", [None, 7, "", "Caps", "with space", "nul\0", "a" * 41, Sly("no-route"), "-x"])
def test_an_invalid_code_is_replaced(code: object) -> None:
    assert slug(code, "instead") == "instead"
    assert slug("no-route", "instead") == "no-route"


def test_a_secret_is_masked_in_a_name_before_the_name_is_cut() -> None:
    token = f"dx_{'a1' * 6}_{'B-_2' * 10}xyz"
    assert masked_name(token) == "***"
    assert "B-_2" not in masked_name("x" * 20 + token)
    assert masked_name("slipage" * 10) == ("slipage" * 10)[:SHOWN_NAME]
