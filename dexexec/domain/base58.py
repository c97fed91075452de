"""Base58 as Bitcoin and Solana write it: how signatures, blockhashes and public keys look in text.

Leading zero bytes become leading `1`s, one for one, so that the length survives the round trip.
"""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ADDRESS_BYTES, ADDRESS_LETTERS = 32, 44
"""The length of a public key, and of its text at most."""

_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_LETTERS = 10
_CHUNK = 58**_LETTERS
"""Ten letters at a time, two by two: arithmetic with a long number is what costs."""


def encode(data: bytes) -> str:
    """`data` in base58."""
    number = int.from_bytes(data, "big")
    pairs = []
    while number:
        number, chunk = divmod(number, _CHUNK)
        for _ in range(_LETTERS // 2):
            chunk, digits = divmod(chunk, 58 * 58)
            pairs.append(_PAIRS[digits])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return ALPHABET[0] * zeros + "".join(reversed(pairs)).lstrip(ALPHABET[0])


def decode(text: str) -> bytes:
    """Inverse of `encode`; raises `ValueError` naming the first letter that is not base58."""
    wrong = text.strip(ALPHABET)[:1]
    if wrong:
        raise ValueError(f"not base58: {wrong!r} is not in its alphabet")
    padded = ALPHABET[0] * (-len(text) % _LETTERS) + text
    number = 0
    for begin in range(0, len(padded), _LETTERS):
        chunk = 0
        for at in range(begin, begin + _LETTERS, 2):
            chunk = chunk * (58 * 58) + _VALUES[padded[at : at + 2]]
        number = number * _CHUNK + chunk
    zeros = len(text) - len(text.lstrip(ALPHABET[0]))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def is_address(text: str) -> bool:
    """Whether `text` is a public key: 32 bytes."""
    try:
        return len(text) <= ADDRESS_LETTERS and len(decode(text)) == ADDRESS_BYTES
    except ValueError:
        return False
