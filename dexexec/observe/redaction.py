"""Takes secrets out of text that people read: logs, errors, tracebacks, the banner.

The last line of defence behind types that do not print. It knows the secrets of the process' own environment, and what
secrets look like: users in URLs, keys in their paths, queries and host names, `password=`, and wallets' keys.
"""

import ipaddress
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from urllib.parse import unquote, urlsplit

MASK = "***"
SHORTEST = 8
"""Characters below which a value of the environment is not looked for: it may be a word of any sentence."""

# Each of these takes a time that grows with the text alone, whatever is in it.
_URL = re.compile(r"(?P<scheme>(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<rest>[^\s'\"<>]*)")
_REST = re.compile(r"(?P<host>[^/?#]*)(?P<path>[^?#]*)(?P<more>.*)", re.DOTALL)
_VALUES = re.compile(r"=[^&#]*")
_KEY_NAME = r"(?:password|passwd|passphrase|secret|private[_-]?key|api[_-]?key|access[_-]?token|auth[_-]?token)"
_PAIR = re.compile(
    rf"(?P<name>{_KEY_NAME}['\"]?\s*[=:]\s*)(?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;&)}}\]]+)",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"\[\s*(?:\d{1,3}\s*,\s*){31,}\d{1,3}\s*\]?")
_LONG = re.compile(r"(?<![A-Za-z0-9])(?:[1-9A-HJ-NP-Za-km-z]{80,}|(?:0x)?[0-9a-fA-F]{64,})(?![A-Za-z0-9])")
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w-]{16,}|[A-Za-z]{24,}")
_MIXED = re.compile(r"[a-z][A-Z].*[a-z]|[A-Za-z]\d.*[A-Za-z]")
"""What is no word and no version, in the path of a node's address."""
_NEVER = re.compile(r"(?!)")
_BEARER = re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")
_PLAIN = re.compile(r"[A-Za-z]+\d{0,2}|\d+")

_SECRET_NAMES = re.compile(r"PASSWORD|SECRET|TOKEN|PRIVATE|API_?KEY|REDIS_URL|RPC_URL|DATABASE_URL|PG_HOST")
_SHOWN_NAMES = ("PG_USER", "PG_DATABASE", "DEXEXEC_REDIS_PREFIX")


class Redactor:
    """Masks secrets. `environ` is where the process' own stand."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._known = sorted(set(_secrets(environ or {})), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """`text` without what is, or looks like, a secret. A transaction's signature looks like a wallet's key."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        text = _URL.sub(lambda match: match["scheme"] + _without_keys(match["rest"]), text)
        text = _PAIR.sub(lambda match: match["name"] + MASK, text)
        text = _BEARER.sub(lambda match: match["name"] + MASK, text)
        return _LONG.sub(MASK, _NUMBERS.sub(MASK, text))

    def value(self, value: object) -> object:
        """Any value that is logged: texts in it are masked. What only its repr would show is replaced by that."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {name: self.value(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        shown = repr(value)
        masked = self(shown)
        return value if masked == shown else masked

    def formatter(self, layout: str) -> logging.Formatter:
        """For the loggers of libraries: what they write, with its traceback, goes through here."""
        return _Formatter(layout, self)


class _Formatter(logging.Formatter):
    def __init__(self, layout: str, redact: Redactor) -> None:
        super().__init__(layout)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def masked_host(host: str) -> str:
    """A host's name without a key that its first label may be: `***.provider.example`. Addresses stay."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        first, dot, rest = host.partition(".")
        return f"{MASK}{dot}{rest}" if any(map(_looks_random, first.split("-"))) else host
    return host


def _looks_random(part: str) -> bool:
    """Letters and digits mixed in one word, or a word of no language."""
    return len(part) >= 24 or (len(part) >= 6 and not _PLAIN.fullmatch(part))


def _without_keys(rest: str) -> str:
    """What follows a URL's scheme. A password may hold any character that is not encoded, so all before the last `@`
    counts as one."""
    user, at, place = rest.rpartition("@")
    match = _REST.fullmatch(place)
    if match is None:
        return MASK
    name, colon, port = match["host"].rpartition(":")
    host = f"{masked_host(name)}{colon}{port}" if name else masked_host(match["host"])
    path = "/".join(MASK if _RANDOM.fullmatch(part) else part for part in match["path"].split("/"))
    return f"{MASK + at if user else at}{host}{path}{_VALUES.sub('=' + MASK, match['more'])}"


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    shown = {environ.get(name, "") for name in _SHOWN_NAMES} | {"postgres", "dexexec"}
    for name, value in environ.items():
        if _SECRET_NAMES.search(name):
            for part in _parts(name, value):
                yield from (one for one in {part, unquote(part)} if len(one) >= SHORTEST and one not in shown)


def _parts(name: str, value: str) -> Iterable[str]:
    """What of a variable's value is secret."""
    if "://" in value:
        key = _MIXED if "RPC_URL" in name else _NEVER  # the path of others is a database's name
        return chain.from_iterable(_parts_of_url(url, key) for url in value.split(","))
    if name == "PG_HOST":
        return (match["value"].strip("'") for match in _PAIR.finditer(value))
    return () if value.startswith("file:") else (value.strip(),)


def _parts_of_url(url: str, key: re.Pattern[str]) -> Iterable[str]:
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return ()
    return (
        *parts.netloc.rpartition("@")[0].split(":"),
        *_keys_in_host(parts.netloc.rpartition("@")[2]),
        *(one for one in parts.path.split("/") if _RANDOM.fullmatch(one) or key.search(one)),
        *(pair.rpartition("=")[2] for pair in parts.query.split("&") if "=" in pair),
    )


def _keys_in_host(place: str) -> Iterable[str]:
    """The first label of a host that looks like a key, as it was typed and as libraries repeat it: in lower case."""
    label = place.partition(":")[0].partition(".")[0]
    return (label, label.lower()) if masked_host(label) != label else ()
