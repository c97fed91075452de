"""Base58 as Bitcoin and Solana write it: how signatures, blockhashes and public keys look in text.

Leading zero bytes become leading `1`s, one for one, so that the length survives the round trip.
"""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_DIGITS = {letter: digit for digit, letter in enumerate(ALPHABET)}
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_CHUNK = 58**10
"""Ten letters at a time: division of a long number is what costs."""


def encode(data: bytes) -> str:
    """`data` in base58."""
    number = int.from_bytes(data, "big")
    pairs = []
    while number:
        number, chunk = divmod(number, _CHUNK)
        for _ in range(5):
            chunk, digits = divmod(chunk, 58 * 58)
            pairs.append(_PAIRS[digits])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return ALPHABET[0] * zeros + "".join(reversed(pairs)).lstrip(ALPHABET[0])


def decode(text: str) -> bytes:
    """Inverse of `encode`; raises `ValueError` naming the first letter that is not base58."""
    number = 0
    for letter in text:
        digit = _DIGITS.get(letter)
        if digit is None:
            raise ValueError(f"not base58: {letter!r} is not in its alphabet")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(ALPHABET[0]))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
