"""Refuses requests that a browser sends for a page of another site, by Host, Origin and Sec-Fetch-Site.

A page can make its own name point at this machine (DNS rebinding); only Host reveals that, so only known hosts are
served. A page can also use our name; Origin reveals that, or Sec-Fetch-Site if a browser sends no Origin. Programs send
neither. X-Forwarded-Host is never read, since every client can send it.
"""

import re
from contextlib import suppress

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest

from dexexec.api.problems import HostNotAllowedError, OriginNotAllowedError
from dexexec.config.host_names import ANY, Place, is_loopback, normal_host, split_authority
from dexexec.config.settings import Settings

DEFAULT_PORTS = {"http": 80, "https": 443}
OWN_SITES = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site for our own pages, and for addresses that a person typed or opened from a bookmark."""

_ORIGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)")


class SiteCheck:
    """The allowed hosts and origins, computed once from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = [place for entry in settings.allowed_hosts if (place := split_authority(entry))]
        self._any_host = ANY in settings.allowed_hosts
        self._origins = {_normal_origin(entry) for entry in settings.allowed_origins}
        self._own_address = normal_host(settings.host)

    def check(self, request: HTTPServerRequest) -> None:
        """Raises `HostNotAllowedError` or `OriginNotAllowedError`."""
        headers = request.headers
        host = headers.get("Host")  # Tornado refuses two of them, and none in HTTP/1.1; every browser sends it
        if host is not None and not self._any_host and not self._serves(split_authority(host), request):
            raise HostNotAllowedError(
                "this host is not served here: use the address that the service printed at its start,"
                " or list the host in DEXEXEC_ALLOWED_HOSTS"
            )
        origin = headers.get("Origin")
        site = headers.get("Sec-Fetch-Site")
        if origin is None and site is None:
            return
        if ANY in self._origins or (origin is not None and _normal_origin(origin) in self._origins):
            return
        foreign = site is not None and site not in OWN_SITES
        if origin is None:
            allowed = not foreign or _is_navigation(request)
        else:
            allowed = not foreign and host is not None and _is_own(origin, host)
        if not allowed:
            raise OriginNotAllowedError(
                "pages of this origin may not use this service: list the origin in DEXEXEC_ALLOWED_ORIGINS"
                " (behind a proxy: let it pass on the Host header)"
            )

    def _serves(self, place: Place | None, request: HTTPServerRequest) -> bool:
        if place is None:
            return False
        host, port = place
        return (
            is_loopback(host)
            or host == self._own_address
            or any(_matches(host, name) and allowed_port in {None, port} for name, allowed_port in self._hosts)
            or host == _listened_on(request)
        )


def _matches(host: str, name: str) -> bool:
    """`*.dex.example` matches all names below dex.example."""
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _listened_on(request: HTTPServerRequest) -> str | None:
    """The local address of this connection. Foreign names are never equal to it."""
    connection = request.connection
    if isinstance(connection, HTTP1Connection) and connection.stream is not None:
        with suppress(OSError, AttributeError):  # the client and its socket may be gone
            return normal_host(str(connection.stream.socket.getsockname()[0]))
    return None


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin is this host and port. The scheme is not compared, since a proxy may have ended TLS."""
    match = _ORIGIN.fullmatch(origin)
    if match is None or (default := DEFAULT_PORTS.get(match["scheme"].lower())) is None:
        return False
    origin_place = split_authority(match["authority"])
    host_place = split_authority(host)
    if origin_place is None or host_place is None:
        return False
    return _complete(origin_place, default) == _complete(host_place, default)


def _normal_origin(origin: str) -> str:
    match = _ORIGIN.fullmatch(origin.rstrip("/"))
    place = split_authority(match["authority"]) if match else None
    if match is None or place is None:
        return origin.lower()
    scheme = match["scheme"].lower()
    host, port = _complete(place, DEFAULT_PORTS.get(scheme))
    return f"{scheme}://{host}:{port}"


def _complete(place: Place, default: int | None) -> Place:
    host, port = place
    return host, default if port is None else port


def _is_navigation(request: HTTPServerRequest) -> bool:
    """Whether a person followed a link: the answer is shown to that person, and no page can read it."""
    headers = request.headers
    return (
        request.method in {"GET", "HEAD"}
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )
