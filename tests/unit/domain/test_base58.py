"""Base58 is written as Solana writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.token import BASE58, USDC, WSOL

SYSTEM_PROGRAM = "1" * 32


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"\0", "1"),
        (b"hello world", "StV1DL6CwTryKyV"),
        (bytes.fromhex("00000000000000000000123456789abcdef0"), "111111111143c9JGph3DZ"),
        (bytes(32), SYSTEM_PROGRAM),
    ],
)
def test_known_values_are_encoded_and_decoded(data: bytes, text: str) -> None:
    assert base58.encode(data) == text
    assert base58.decode(text) == data


@given(st.binary(max_size=80))
def test_encoded_bytes_are_decoded_again(data: bytes) -> None:
    text = base58.encode(data)
    assert base58.decode(text) == data
    assert BASE58.issuperset(text)


@given(st.integers(0, 40), st.binary(max_size=20))
def test_leading_zero_bytes_are_leading_ones(zeros: int, data: bytes) -> None:
    rest = data.lstrip(b"\0")
    assert base58.encode(b"\0" * zeros + rest) == "1" * zeros + base58.encode(rest)


@pytest.mark.parametrize("mint", [WSOL, USDC, SYSTEM_PROGRAM])
def test_a_public_key_is_32_bytes(mint: str) -> None:
    assert len(base58.decode(mint)) == 32
    assert base58.encode(base58.decode(mint)) == mint


@pytest.mark.parametrize("letter", ["0", "O", "I", "l", " ", "é"])
def test_a_letter_outside_the_alphabet_is_named(letter: str) -> None:
    with pytest.raises(ValueError, match="not base58") as error:
        base58.decode(f"abc{letter}")
    assert repr(letter) in str(error.value)
