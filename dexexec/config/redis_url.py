"""Parses REDIS_URL: one server, a Cluster, or a primary behind Sentinels.

Nothing connects here, and redis-py is not imported. `broker.locator` finds the server.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

SHAPES = (
    "redis://HOST:6379/0, unix:///PATH, redis+cluster://HOST:6379 or redis+sentinel://HOST:26379/NAME (rediss:// and so"
    " on for TLS; more hosts by comma; USER:PASSWORD@ before the hosts where they are needed)"
)

Place = tuple[str, int]

# A pattern, because urlsplit reads neither several hosts nor their ports.
_SEVERAL = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>cluster|sentinel)://(?:(?P<user>[^/?#]*)@)?(?P<hosts>[^/?#@]+)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)


class Kind(StrEnum):
    """The kinds of servers that REDIS_URL may name."""

    SINGLE = "single"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


DEFAULT_PORTS = {Kind.CLUSTER: 6379, Kind.SENTINEL: 26379}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """The parsed REDIS_URL. `url` is the part for redis-py: how to connect to a data server."""

    kind: Kind
    url: str = field(repr=False)
    nodes: tuple[Place, ...] = ()
    """The addresses: nodes of the Cluster, or the Sentinels."""
    service: str = ""
    """The primary's name at the Sentinels."""
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    """`username` and `password` of the Sentinels."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL. Raises ValueError for an invalid one."""
        match = _SEVERAL.fullmatch(url)
        if match is None:
            single = urlsplit(url)
            if "," in single.netloc.rpartition("@")[2]:
                raise ValueError("several hosts need redis+cluster:// or redis+sentinel://")
            if single.scheme not in {"redis", "rediss", "unix"}:
                raise ValueError("no known scheme, or no host behind it")
            _port(single)
            _named(single.hostname or "")
            if single.scheme != "unix" and not single.path.strip("/").isdecimal() and single.path.strip("/"):
                raise ValueError("the database behind the host is no number")
            return cls(kind=Kind.SINGLE, url=url)
        kind = Kind(match["kind"])
        nodes = tuple(_place(text, DEFAULT_PORTS[kind]) for text in match["hosts"].split(","))
        path = (match["path"] or "/")[1:]
        service, _, database = path.partition("/") if kind is Kind.SENTINEL else ("", "", path)
        if kind is Kind.SENTINEL and not service:
            raise ValueError("Sentinels need the primary's name")
        if database not in {"", "0"} and (kind is Kind.CLUSTER or not database.isdecimal()):
            raise ValueError("no such database")
        query = dict(parse_qsl(match["query"] or ""))
        names = ("username", "password")
        login = {name: query.pop(f"sentinel_{name}") for name in names if f"sentinel_{name}" in query}
        user = f"{match['user']}@" if match["user"] else ""
        host, port = nodes[0]
        plain = f"{match['scheme']}://{user}{_bracketed(host)}:{port}/{database or 0}?{urlencode(query)}"
        return cls(kind=kind, url=plain, nodes=nodes, service=service, login=login)

    @property
    def tls(self) -> bool:
        """Whether the connections use TLS."""
        return self.url.startswith("rediss:")

    def place(self) -> str:
        """The address for people, without user and password."""
        if self.kind is Kind.SINGLE:
            url = urlsplit(self.url)
            return url.path if url.scheme == "unix" else f"{url.hostname or 'localhost'}:{url.port or 6379}"
        nodes = ",".join(f"{_bracketed(host)}:{port}" for host, port in self.nodes)
        return f"{self.service} of the Sentinels {nodes}" if self.service else f"the Cluster of {nodes}"


def _place(text: str, default_port: int) -> Place:
    url = urlsplit(f"//{text.strip()}")
    if not url.hostname or url.path:
        raise ValueError("a host is missing")
    return _named(url.hostname), _port(url) or default_port


def _named(host: str) -> str:
    """`host`. Raises ValueError for one that is no valid name, as resolving it would."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("a host cannot be one") from None
    return host


def _port(url: SplitResult) -> int | None:
    """The port. Python's own error would repeat an invalid one, which may be a part of a password."""
    try:
        return url.port
    except ValueError:
        raise ValueError("a port is no number up to 65535") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
