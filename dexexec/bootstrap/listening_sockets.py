"""Opens the listening sockets of one process, or reserves the port that several processes share."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tornado.netutil import bind_sockets

from dexexec.config.settings import Settings
from dexexec.errors import StartupError

BACKLOG = 4_096
"""Connections that wait in the kernel until they are accepted. When that is full, a client repeats its first packet
after a second, and then after two more: a flood must not have that effect on others."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen, and the settings that it comes from."""

    host: str
    port: int
    host_setting: str = "DEXEXEC_HOST"
    port_setting: str = "PORT"


def main_endpoint(settings: Settings) -> Endpoint:
    """Where orders are accepted."""
    return Endpoint(settings.host, settings.port)


def operations_endpoint(settings: Settings) -> Endpoint | None:
    """Where metrics and health checks are served without a key, if they have a port of their own."""
    if settings.metrics_port is None:
        return None
    return Endpoint(settings.metrics_host, settings.metrics_port, "DEXEXEC_METRICS_HOST", "DEXEXEC_METRICS_PORT")


def listen(endpoint: Endpoint, *, shared: bool = False) -> list[socket.socket]:
    """Open the listening sockets, IPv4 first. With `shared`, other processes may listen on the same port. The host `::`
    means all addresses, IPv4 included. Raises `StartupError` when the port is not available."""
    try:
        host = None if endpoint.host == "::" else endpoint.host
        return bind_sockets(endpoint.port, host, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        raise _refusal(endpoint, error) from error


@contextmanager
def reserved(endpoint: Endpoint) -> Iterator[int]:
    """Reserve the port (a free one for 0) during the block, for several processes that share it. Raises `StartupError`
    when it is not available."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise StartupError("this system has no SO_REUSEPORT, with which processes share a port: leave --processes out")
    addresses = []
    # First without SO_REUSEPORT: with it, the kernel would share the port with another service of the same user.
    for alone in listen(endpoint):
        with alone:
            addresses.append((alone.family, alone.getsockname()))
    with ExitStack() as stack:
        try:
            for family, address in addresses:
                kept = stack.enter_context(socket.socket(family))
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    kept.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                kept.bind(address)  # never listens, or the kernel would give it connections
        except OSError as error:
            raise _refusal(endpoint, error) from error
        yield int(addresses[0][1][1])


def reachable(settings: Settings, port: int) -> str:
    """The URL under which a client on this machine reaches the service, which listens on `port`."""
    return _url("https" if settings.tls_cert else "http", settings.host, port)


def operations_url(settings: Settings, port: int) -> str:
    """The same for the operations port."""
    return _url("http", settings.metrics_host, port)


def _url(scheme: str, host: str, port: int) -> str:
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _refusal(endpoint: Endpoint, error: OSError) -> StartupError:
    host, port, setting = endpoint.host, endpoint.port, endpoint.port_setting
    if error.errno == errno.EADDRINUSE:
        text = f"port {port} on {host} is taken: stop what listens there, or set {setting} to another"
    elif error.errno == errno.EACCES:
        text = f"port {port} may not be used by this user: set {setting} to one above 1023"
    else:
        text = f"cannot listen on {host} port {port} ({error}): check {endpoint.host_setting} and {setting}"
    return StartupError(text)
