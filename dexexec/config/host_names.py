"""Normalizes host names and addresses of HTTP, so that they can be compared."""

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

ANY = "*"
"""In a list of allowed hosts or origins: any."""

Place = tuple[str, int | None]
"""A host as normalized by `normal_host`, and the port if there is one."""

DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:@/\\?#\[\],]+)(?::(?P<port>\d{0,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)")


def split_authority(text: str) -> Place | None:
    """Host and port of a Host header, normalized; None for an invalid header. User names are invalid in it (RFC 9110,
    7.2)."""
    match = _AUTHORITY.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    return normal_host(match["host"]), port


def split_origin(origin: str) -> tuple[str, Place] | None:
    """Scheme and place of an origin (RFC 6454), normalized; None for `null` and anything else."""
    match = _ORIGIN.fullmatch(origin)
    place = split_authority(match["authority"]) if match else None
    return (match["scheme"].lower(), place) if match and place else None


def normal_origin(origin: str) -> str:
    """An origin with its port, so that it can be compared. A trailing slash is ignored: people copy it with the
    address of a page."""
    parts = split_origin(origin.rstrip("/"))
    if parts is None:
        return origin.lower()
    scheme, place = parts
    host, port = with_port(place, DEFAULT_PORTS.get(scheme))
    return f"{scheme}://{host}:{port}"


def with_port(place: Place, default: int | None) -> Place:
    """The place with its port, or with the default one."""
    host, port = place
    return host, default if port is None else port


def normal_host(host: str) -> str:
    """A host in lower case, without brackets and trailing dot; addresses in their shortest form, mapped IPv4 as
    IPv4."""
    name = host.lower().removesuffix(".")
    with suppress(ValueError):
        address: IPv4Address | IPv6Address = ip_address(name.strip("[]"))
        return str(getattr(address, "ipv4_mapped", None) or address)
    # Browsers send international names in their ASCII form, people write them in the settings as they are.
    if not name.isascii():
        with suppress(UnicodeError):
            return name.encode("idna").decode()
    return name


def is_loopback(host: str) -> bool:
    """Whether every browser resolves a normalized host to this machine (RFC 6761 for names below localhost)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False
