"""Refuses requests that a browser sends for a page of another site, by Host, Origin and Sec-Fetch-Site.

A page can make its own name point at this machine (DNS rebinding); only Host reveals that, so only known hosts are
served. A page can also use our name; Origin reveals that, or Sec-Fetch-Site if a browser sends no Origin. Programs send
neither. X-Forwarded-Host is never read, since every client can send it.
"""

from collections.abc import Mapping
from contextlib import suppress

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest

from dexexec.api import cors
from dexexec.api.problems import HostNotAllowedError, OriginNotAllowedError
from dexexec.config.host_names import (
    ANY,
    DEFAULT_PORTS,
    Place,
    is_loopback,
    normal_host,
    normal_origin,
    split_authority,
    split_origin,
    with_port,
)
from dexexec.config.settings import Settings

OWN_SITES = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site for our own pages, and for addresses that a person typed or opened from a bookmark."""


class SiteCheck:
    """The allowed hosts and origins, computed once from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = [place for entry in settings.allowed_hosts if (place := split_authority(entry))]
        self._any_host = ANY in settings.allowed_hosts
        self._origins = {normal_origin(entry) for entry in settings.allowed_origins}
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
        if self.allowed_origin(headers) is not None or (origin is None and ANY in self._origins):
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

    def allowed_origin(self, headers: HTTPHeaders) -> str | None:
        """The origin of a page that DEXEXEC_ALLOWED_ORIGINS lists, as it was sent; `*` if any is listed; else None."""
        origin = headers.get("Origin")
        if origin is None:
            return None
        if ANY in self._origins:
            return ANY
        return origin if normal_origin(origin) in self._origins else None

    def cors_headers(self, headers: HTTPHeaders) -> Mapping[str, str]:
        """The CORS headers of the answer to a request, also of a refusal: its page must be able to read it."""
        return cors.answer_headers(self.allowed_origin(headers), varies=bool(self._origins))

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
    parts = split_origin(origin)
    if parts is None or (default := DEFAULT_PORTS.get(parts[0])) is None:
        return False
    host_place = split_authority(host)
    return host_place is not None and with_port(parts[1], default) == with_port(host_place, default)


def _is_navigation(request: HTTPServerRequest) -> bool:
    """Whether a person followed a link: the answer is shown to that person, and no page can read it."""
    headers = request.headers
    return (
        request.method in {"GET", "HEAD"}
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )
