"""Finds the address of a client: that of its connection, or what trusted proxies wrote into X-Forwarded-For.

Limits, turns and records count by it, so no client may be able to choose it.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from dexexec.config.client_connections import ConnectionSettings


def client_address(request: HTTPServerRequest, settings: ConnectionSettings) -> str:
    """The client's identity for limits: an IPv4 address, or the /64 network of an IPv6 one: one host gets that."""
    peer = str(request.remote_ip)
    forwarded = forwarded_client(request.headers, settings) if is_proxy(peer, settings) else None
    return forwarded or client_key(peer)


def is_proxy(peer: str, settings: ConnectionSettings) -> bool:
    """Whether X-Forwarded-For is read from connections of this address."""
    return settings.trust_proxy or _in_trusted_network(_address(peer), settings)


def forwarded_client(headers: HTTPHeaders, settings: ConnectionSettings) -> str | None:
    """The client that a trusted proxy has named, as `client_address` has it; None if it named none.

    Each proxy appends the address that it sees. So the entries are read from the end, and the first one that is no
    trusted proxy is the client: it was written by a trusted proxy, while the client could have sent all before it.
    """
    client = None
    for entry in reversed(headers.get("X-Forwarded-For", "").split(",")):
        address = _address(_without_port(entry.strip(" \t")))
        if address is None:  # empty, `unknown` or a made-up name: only what was read so far is certain
            break
        client = client_key(str(address))
        if not _in_trusted_network(address, settings):
            break
    return client


def is_secure(request: HTTPServerRequest, settings: ConnectionSettings) -> bool:
    """Whether the client uses TLS, to this process or to a trusted proxy."""
    if request.protocol == "https":
        return True
    proto = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
    return proto == "https" and is_proxy(str(request.remote_ip), settings)


def client_key(address: str) -> str:
    """The identity of an IP address: itself, or the /64 network of an IPv6 one."""
    if ":" not in address:
        return address
    v6 = IPv6Address(address.partition("%")[0])
    return str(v6.ipv4_mapped or IPv6Network((v6, 64), strict=False))


def _in_trusted_network(address: IPv4Address | IPv6Address | None, settings: ConnectionSettings) -> bool:
    return address is not None and any(address in network for network in settings.trusted_proxies)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, mapped IPv4 as IPv4; None for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(entry: str) -> str:
    """Some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
