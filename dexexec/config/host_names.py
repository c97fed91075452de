"""Hosts as HTTP names them, in one form that can be compared: names in any case, with a trailing dot, addresses."""

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

ANY = "*"
"""In a list of allowed hosts or origins: all of them."""

Place = tuple[str, int | None]
"""A host as `normal_host` makes it, and the port if one is named."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:@/\\?#\[\],]+)(?::(?P<port>\d{0,5}))?")


def split_authority(text: str) -> Place | None:
    """Host and port of a Host header, normalized; None where it is none. User names are none of it (RFC 9110, 7.2)."""
    match = _AUTHORITY.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    return normal_host(match["host"]), port


def normal_host(host: str) -> str:
    """A host in lower case, without brackets and the trailing dot; addresses in their shortest form, IPv4 as such."""
    name = host.lower().removesuffix(".")
    with suppress(ValueError):
        address: IPv4Address | IPv6Address = ip_address(name.strip("[]"))
        return str(getattr(address, "ipv4_mapped", None) or address)
    if not name.isascii():
        with suppress(UnicodeError):
            return name.encode("idna").decode()
    return name


def is_host(text: str) -> bool:
    """Whether something can listen there: a name, an address without brackets, or nothing (all addresses)."""
    return not text or split_authority(f"[{text}]" if ":" in text else text) is not None


def is_loopback(host: str) -> bool:
    """Whether a normalized host is this machine for every browser (RFC 6761 for names below localhost)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False
