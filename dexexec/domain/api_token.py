"""The text that a client sends as its API key: how it is made, recognised and turned into what is stored.

`dx_<id>_<secret>`: the id finds the row and is no secret; the secret has 256 random bits and is nowhere stored.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

ID_BYTES = 8
SECRET_BYTES = 32
PATTERN = re.compile(r"dx_(?P<id>[A-Za-z0-9]{12})_(?P<secret>[A-Za-z0-9_-]{43})", re.ASCII)

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 12


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A key as its client has it."""

    id: str
    secret: str = field(repr=False)

    def text(self) -> str:
        """What the client sends."""
        return f"dx_{self.id}_{self.secret}"

    def digest(self) -> bytes:
        """What is stored: HMAC-SHA256 of the secret, keyed by the id, so that a digest fits no other row."""
        # Fast on purpose: 2**256 secrets cannot be tried, and a slow hash would let strangers keep the service busy
        # (docs/adr/0030).
        return hmac.digest(self.id.encode(), self.secret.encode(), "sha256")


def parse_token(text: str) -> ApiToken | None:
    """The token in `text`; None for anything else."""
    match = PATTERN.fullmatch(text)
    return ApiToken(match["id"], match["secret"]) if match else None


def new_token(random: bytes) -> ApiToken:
    """A token made of `ID_BYTES` + `SECRET_BYTES` random bytes."""
    number = int.from_bytes(random[:ID_BYTES])
    letters = []
    for _ in range(_ID_LENGTH):
        number, letter = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[letter])
    secret = urlsafe_b64encode(random[ID_BYTES : ID_BYTES + SECRET_BYTES]).rstrip(b"=").decode()
    return ApiToken("".join(letters), secret)
