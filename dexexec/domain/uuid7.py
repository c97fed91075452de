"""Order ids: UUIDs of version 7 (RFC 9562, section 5.7). They grow with time, so an index grows only at its end."""

from uuid import UUID

RANDOM_BYTES = 10

_LAYOUT = 0x7 << 76 | 0b10 << 62
_RANDOM = (1 << 76) - 1 & ~(0b11 << 62)


def uuid7(unix_ms: int, random: bytes) -> UUID:
    """Returns the UUID of a millisecond and `RANDOM_BYTES` random bytes, of which it uses 74 bits.

    Ids of different milliseconds sort by time, and ids of the same millisecond by their random bits.
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"uuid7 takes {RANDOM_BYTES} random bytes")
    return UUID(int=(unix_ms & (1 << 48) - 1) << 80 | _LAYOUT | int.from_bytes(random) & _RANDOM)
