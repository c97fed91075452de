"""The text of an API key: made of random bytes, recognised strictly, and never shown."""

import re

import pytest

from dexexec.domain.api_token import ID_BYTES, SECRET_BYTES, new_token, parse_token
from dexexec.observe.redaction import Redactor

BYTES = ID_BYTES + SECRET_BYTES
ID, SECRET = "a" * 12, "b" * 43


@pytest.mark.parametrize("random", [bytes(BYTES), b"\xff" * BYTES, bytes(range(BYTES))])
def test_a_token_is_made_of_its_bytes_and_read_back(random: bytes) -> None:
    token = new_token(random)
    assert re.fullmatch("dx_[A-Za-z0-9]{12}_[A-Za-z0-9_-]{43}", token.text())
    assert parse_token(token.text()) == token
    assert len(token.digest()) == 32


def test_tokens_of_other_bytes_have_another_id_and_another_secret() -> None:
    tokens = [new_token(number.to_bytes(ID_BYTES) + number.to_bytes(SECRET_BYTES)) for number in range(1_000)]
    assert len({token.id for token in tokens}) == len({token.secret for token in tokens}) == 1_000


def test_the_digest_of_one_token_fits_no_other_id() -> None:
    one, other = new_token(bytes(BYTES)), new_token(b"\x01" + bytes(BYTES - 1))
    assert one.secret == other.secret
    assert one.digest() != other.digest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dx_",
        "x" * 59,
        f"dx_{ID}_{SECRET[1:]}",
        f"dx_{ID}_{SECRET}b",
        f"dx_{ID[1:]}_{SECRET}",
        f"DX_{ID}_{SECRET}",
        f" dx_{ID}_{SECRET}",
        f"dx_{ID}_{SECRET}\n",
        f"dx_{'é' * 12}_{SECRET}",
        f"dx_{ID}_{'=' * 43}",
    ],
)
def test_nothing_else_is_a_token(text: str) -> None:
    assert parse_token(text) is None


def test_promise_14_a_token_is_in_no_repr_and_in_no_line_of_the_log() -> None:
    token = new_token(bytes(range(BYTES)))
    assert token.secret not in repr(token)
    for before in ("", "GET /?key=", "Bearer ", "dexexec.v1, dexexec.bearer."):
        assert token.secret not in Redactor()(f"{before}{token.text()},")
