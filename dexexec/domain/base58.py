"""Base58 as Bitcoin and Solana use it: the text form of signatures, blockhashes and public keys."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ADDRESS_BYTES = 32
"""The length of a public key."""
ADDRESS_LETTERS = 44
"""The length of a public key's text at most."""

_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_LETTERS = 10
_CHUNK = 58**_LETTERS
"""Ten letters at a time, in pairs: this saves most of the expensive divisions of a long number."""


def encode(data: bytes) -> str:
    """Returns `data` in base58."""
    number = int.from_bytes(data, "big")
    pairs = []
    while number:
        number, chunk = divmod(number, _CHUNK)
        for _ in range(_LETTERS // 2):
            chunk, digits = divmod(chunk, 58 * 58)
            pairs.append(_PAIRS[digits])
    # Leading zero bytes become leading `1`s, one for one, so that the length survives the round trip.
    # Leading zero bytes become leading `1`s, one for one, so that the length survives the round trip.
    # The number loses its leading zero bytes: each becomes a leading `1`, so that the length survives.
    zeros = len(data) - len(data.lstrip(b"\0"))
    return ALPHABET[0] * zeros + "".join(reversed(pairs)).lstrip(ALPHABET[0])


def decode(text: str) -> bytes:
    """Inverse of `encode`. Raises `ValueError`, which names the first letter that is not base58."""
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
    """Whether `text` is a public key of 32 bytes."""
    try:
        return len(text) <= ADDRESS_LETTERS and len(decode(text)) == ADDRESS_BYTES
    except ValueError:
        return False
