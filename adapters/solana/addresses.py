"""Addresses in settings: base58, in lists separated by commas. Needs no Solana library."""

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from dexexec.domain import base58

SIZE = 32
"""Bytes of an address."""
MOST_DECODED = 16_384
"""Addresses that are kept decoded: the arrays of a pool are derived from its address for each quote."""


@lru_cache(maxsize=MOST_DECODED)
def address_bytes(text: str) -> bytes:
    """The bytes of an address. Raises `ValueError` for an invalid address."""
    # Base58 decoding takes time quadratic in the length. No address has more than 44 characters.
    data = base58.decode(text) if len(text) <= 44 else b""
    if len(data) != SIZE:
        raise ValueError(f"not an address: {SIZE} bytes in base58 are needed")
    return data


def _checked(text: str) -> str:
    if text:
        address_bytes(text)
    return text


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _all_checked(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for place, text in enumerate(addresses, 1):
        try:
            address_bytes(text)
        except ValueError as error:
            raise ValueError(f"entry {place} is {error}") from error
    return tuple(dict.fromkeys(addresses))


Address = Annotated[str, AfterValidator(_checked)]
"""A setting that is an address, or empty."""
Addresses = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_all_checked)]
"""A setting that is a list of addresses separated by commas. Duplicates are dropped; it may be empty."""
