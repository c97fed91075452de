"""Order ids are UUIDs of version 7."""

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.uuid7 import RANDOM_BYTES, uuid7

MILLISECONDS = st.integers(0, 2**48 - 1)
RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


def test_the_example_of_rfc_9562_is_reproduced() -> None:
    """Appendix A.6: rand_a 0xCC3, rand_b 0b01 followed by 0x8C4DC0C0C07398F."""
    random = (0xCC3 << 64 | 0b01 << 60 | 0x8C4DC0C0C07398F).to_bytes(RANDOM_BYTES)
    assert uuid7(0x017F22E279B0, random) == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@given(MILLISECONDS, RANDOM)
def test_version_and_variant_hold_for_any_input_and_the_time_comes_first(unix_ms: int, random: bytes) -> None:
    made = uuid7(unix_ms, random)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == unix_ms


@given(st.tuples(MILLISECONDS, RANDOM), st.tuples(MILLISECONDS, RANDOM))
def test_ids_sort_by_time(one: tuple[int, bytes], other: tuple[int, bytes]) -> None:
    if one[0] < other[0]:
        assert uuid7(*one) < uuid7(*other)


def test_exactly_74_random_bits_are_used() -> None:
    ids = {uuid7(1, (1 << bit).to_bytes(RANDOM_BYTES)) for bit in range(8 * RANDOM_BYTES)}
    assert len(ids - {uuid7(1, bytes(RANDOM_BYTES))}) == 74


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        uuid7(1, b"short")
