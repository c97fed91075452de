"""Checks the URL of a webhook, without looking its name up: that is done again at each try."""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from dexexec.webhooks.addresses import is_public, read_address

LONGEST = 2_000
PORTS = {"https": 443, "http": 80}
_VISIBLE = re.compile(r"[!-~]+")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
PRIVATE = "must not be a private or local address: the operator can allow those with DEXEXEC_WEBHOOK_PRIVATE=1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetUrl:
    """Where a webhook's requests go. `host` has no brackets and no full stop at its end; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)

    @property
    def authority(self) -> str:
        """The header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def check_url(text: str, *, private: bool) -> TargetUrl:
    """Read the URL of a webhook. With `private`, http and private addresses are allowed. Raises `ValueError` with a
    sentence that follows the field's name."""
    if len(text) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters")
    # A backslash is a slash to some programs and part of a name to others.
    if not _VISIBLE.fullmatch(text) or "\\" in text:
        raise ValueError("must have no spaces, backslashes and characters outside of ASCII: write them as %XX")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must be a URL such as https://hooks.example.com/path") from None
    if parts.scheme not in (PORTS if private else {"https"}):
        raise ValueError("must begin with https://" + (" or http://" if private else ""))
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ValueError("must have no user and password: check the signature of what is sent instead")
    if "#" in text:
        raise ValueError("must have no fragment (#)")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("must have a port from 1 to 65535, or none")
    host = _check_host(parts, private)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return TargetUrl(scheme=parts.scheme, host=host, port=port or PORTS[parts.scheme], path=path)


def _check_host(parts: SplitResult, private: bool) -> str:
    host = (parts.hostname or "").removesuffix(".")
    if not host:
        raise ValueError("must have a host")
    address = None if "%" in host else read_address(host)
    if ":" in host and address is None:
        raise ValueError("must not have an IPv6 address with a zone")
    if address is not None:
        if not private and not is_public(address):
            raise ValueError(PRIVATE)
        return str(address)
    # Resolvers read such names as addresses: 2130706433 and 0x7f.1 are 127.0.0.1.
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise ValueError("must have an IPv4 address of four decimal numbers, or a name")
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise ValueError("must have a valid host name")
    if not private and (host == "localhost" or host.endswith(".localhost")):
        raise ValueError(PRIVATE)
    return host
