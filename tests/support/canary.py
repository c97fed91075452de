"""Finds known secrets in anything that leaves a process, in every form in which they may have been written there."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, unquote, urlsplit

from dexexec.domain import base58

PART = 16
"""Characters of a secret that are a leak already."""
SHORTEST = 12
"""Shorter values in the environment of a test are words such as `postgres`."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret of a test, with its forms as they would appear."""

    name: str
    forms: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of_text(cls, name: str, secret: str) -> "Canary":
        """A password, token or part of a URL."""
        forms = {
            "is": secret,
            "quoted": quote(secret, safe=""),
            "in a form": quote_plus(secret),
            "in JSON": json.dumps(secret)[1:-1],
            "in ASCII": ascii(secret)[1:-1],
            "its repr": repr(secret)[1:-1],
        }
        parts = {f"part {part}": part for part in re.split(r"[^A-Za-z0-9_-]+", secret) if len(part) >= PART}
        windows = {f"at {at}": secret[at : at + PART] for at in range(0, len(secret) - PART + 1, PART // 2)}
        texts = {form: text.encode() for form, text in {**forms, **parts, **windows}.items()}
        return cls(name, texts | dict(_of_bytes(secret.encode())))

    @classmethod
    def of_key(cls, name: str, key: bytes) -> "Canary":
        """A wallet's key of 64 bytes. Its second half is the address, which is public."""
        seed = key[:32]
        numbers = list(seed[:12])
        forms = {
            "base58 of 64 bytes": base58.encode(key).encode()[:40],
            "base58 of 32 bytes": base58.encode(seed).encode(),
            "JSON array": str(numbers)[1:-1].encode(),
            "compact JSON array": ",".join(map(str, numbers)).encode(),
            "bytes": seed,
            "repr": repr(seed)[2:-1].encode(),
        }
        return cls(name, forms | dict(_of_bytes(seed)))

    def found(self, content: bytes) -> list[str]:
        """The forms in which the secret is in `content`."""
        folded = content.lower()
        return [
            form
            for form, text in self.forms.items()
            # Host names are repeated in lower case, and hexadecimal digits in either.
            if text in content or ("base" not in form and text.lower() in folded)
        ]


def _of_bytes(secret: bytes) -> Iterator[tuple[str, bytes]]:
    yield "hexadecimal", secret.hex().encode()
    yield "backslashes and hexadecimal", "".join(f"\\x{byte:02x}" for byte in secret).encode()
    for offset in range(3):
        # Within a longer text the same bytes have one of three encodings. The ends depend on what is around them.
        for name, encode in (("base64", base64.b64encode), ("base64 for URLs", base64.urlsafe_b64encode)):
            encoded = encode(bytes(offset) + secret)
            yield f"{name} at {offset}", encoded[4 if offset else 0 : len(encoded) - 4]


def leaks(canaries: Iterable[Canary], place: str, content: bytes | str) -> list[str]:
    """One line for each canary and form in `content`."""
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    return [f"{canary.name} ({form}) in {place}" for canary in canaries for form in canary.found(data)]


def canaries_of(environment: Mapping[str, str]) -> list[Canary]:
    """The secrets in the settings of a process."""
    found: dict[str, str] = {}
    for name, value in environment.items():
        if "://" in value and re.search(r"URL|PG_HOST", name):
            for url in value.split(","):
                parts = urlsplit(url.strip())
                found[f"the password of {name}"] = unquote(parts.password or "")
                if "RPC" in name:
                    found |= {f"{name}'s query": pair.partition("=")[2] for pair in parts.query.split("&")}
        elif re.search(r"PASSWORD|SECRET_KEY|_TOKEN", name) and not value.startswith("file:"):
            found[name] = value
    return [Canary.of_text(name, secret) for name, secret in found.items() if len(secret) >= SHORTEST]
