"""The parts of a transaction are found in its bytes, in the form of every version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.transaction_bytes import SIGNATURE_BYTES, VERSION_1, TransactionParts, is_version_1, join, split

SIGNATURES = st.lists(st.binary(min_size=SIGNATURE_BYTES, max_size=SIGNATURE_BYTES), min_size=1, max_size=12)
OLDER = st.binary(min_size=1, max_size=300).filter(lambda message: not is_version_1(message))


@given(SIGNATURES, OLDER)
def test_an_older_transaction_begins_with_its_signatures(signatures: list[bytes], message: bytes) -> None:
    transaction = join(message, signatures)
    assert transaction == bytes([len(signatures)]) + b"".join(signatures) + message
    assert split(transaction) == TransactionParts(tuple(signatures), message)


@given(SIGNATURES, st.binary(max_size=300))
def test_one_of_version_1_ends_with_its_signatures(signatures: list[bytes], rest: bytes) -> None:
    message = bytes([VERSION_1, len(signatures)]) + rest
    transaction = join(message, signatures)
    assert transaction == message + b"".join(signatures)
    assert split(transaction) == TransactionParts(tuple(signatures), message)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\0" + bytes(100),
        b"\x01" + bytes(64),
        b"\x80" + bytes(10_000),
        bytes([VERSION_1]),
        bytes([VERSION_1, 0]) + bytes(100),
        bytes([VERSION_1, 1]) + bytes(63),
        bytes([VERSION_1, 200]) + bytes(100_000),
    ],
)
def test_what_is_cut_off_or_has_no_signature_has_no_parts(data: bytes) -> None:
    with pytest.raises(ValueError):
        split(data)
