"""Masks secrets in text that people read: logs, errors, tracebacks, the banner.

The last defence behind `SecretStr`. It masks the secrets of the process environment, and anything that looks like one:
API keys, users in URLs, keys in their paths, queries and host names, `password=`, and private keys of wallets.
"""

import ipaddress
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from urllib.parse import unquote, urlsplit

MASK = "***"
SHORTEST = 8
"""Shorter values of the environment are not masked: they may be ordinary words."""

# Each pattern runs in linear time: log lines hold text from outside, which must not be able to stall the process.
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
"""Matches what is neither a word nor a version in the path of an RPC URL."""
_NEVER = re.compile(r"(?!)")
_BEARER = re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")
_API_KEY = re.compile(r"dx_[A-Za-z0-9]{12}_[A-Za-z0-9_-]{1,43}")  # also one that was cut
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{1,100}={0,2}")
_PLAIN = re.compile(r"[A-Za-z]+\d{0,2}|\d+")

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z0-9 ]{0,52}-----)?")

_SECRET_NAMES = re.compile(
    r"PASSWORD|PASSPHRASE|SECRET|TOKEN|PRIVATE|API_?KEY|REDIS_URL|RPC_URL|SEND_URLS|DATABASE_URL|PG_HOST|OTLP_(?:.*_)?HEADERS"
)
_SHOWN_NAMES = ("PG_USER", "PG_DATABASE", "DEXEXEC_REDIS_PREFIX")


class Redactor:
    """Masks secrets. `environ` holds the secrets of the process."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        # The longest first, so that a secret within another does not leave the rest of it readable.
        self._known = sorted(set(_secrets(environ or {})), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """`text` with everything masked that is or looks like a secret, which includes transaction signatures."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        text = _PEM.sub(MASK, _WEBHOOK_SECRET.sub(MASK, _API_KEY.sub(MASK, text)))
        text = _URL.sub(lambda match: match["scheme"] + _without_keys(match["rest"]), text)
        text = _PAIR.sub(lambda match: match["name"] + MASK, text)
        text = _BEARER.sub(lambda match: match["name"] + MASK, text)
        return _LONG.sub(MASK, _NUMBERS.sub(MASK, text))

    def value(self, value: object) -> object:
        """A value for the log, with all text masked. An object whose repr holds a secret becomes its masked repr."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        shown = repr(value)
        masked = self(shown)
        return value if masked == shown else masked

    def formatter(self, layout: str) -> logging.Formatter:
        """A formatter that masks the records of libraries, including their tracebacks."""
        return _Formatter(layout, self)


class _Formatter(logging.Formatter):
    def __init__(self, layout: str, redact: Redactor) -> None:
        super().__init__(layout)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def masked_host(host: str) -> str:
    """A host name with its first label masked if that looks like a key: `***.provider.example`. IP addresses stay."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        first, dot, rest = host.partition(".")
        return f"{MASK}{dot}{rest}" if any(map(_looks_random, first.split("-"))) else host
    return host


def _looks_random(part: str) -> bool:
    """Whether a label mixes letters and digits, or is too long for a word."""
    return len(part) >= 24 or (len(part) >= 6 and not _PLAIN.fullmatch(part))


def _without_keys(rest: str) -> str:
    """The part of a URL behind the scheme, with user, keys and query values masked."""
    # The last `@`: people paste passwords with an `@` that is not percent-encoded.
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
                yield from (
                    secret for secret in {part, unquote(part)} if len(secret) >= SHORTEST and secret not in shown
                )


def _parts(name: str, value: str) -> Iterable[str]:
    """The secret parts of a variable's value."""
    if "://" in value:
        key = (
            _MIXED if "RPC_URL" in name or "SEND_URLS" in name else _NEVER
        )  # in other URLs the path is the name of a database
        return chain.from_iterable(_parts_of_url(url, key) for url in value.split(","))
    if name.endswith("_HEADERS"):  # as OpenTelemetry has them: name=value pairs, percent-encoded
        return (pair.partition("=")[2].strip() for pair in value.split(","))
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
        *(part for part in parts.path.split("/") if _RANDOM.fullmatch(part) or key.search(part)),
        *(pair.rpartition("=")[2] for pair in parts.query.split("&") if "=" in pair),
    )


def _keys_in_host(place: str) -> Iterable[str]:
    """The first label of a host if it looks like a key: as typed, and in lower case as libraries repeat it."""
    label = place.partition(":")[0].partition(".")[0]
    return (label, label.lower()) if masked_host(label) != label else ()
