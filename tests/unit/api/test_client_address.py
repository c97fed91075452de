"""Whose address a request counts for, behind proxies and without: a client can never choose it."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from dexexec.api.client_address import client_address, is_secure
from dexexec.config.settings import Settings

PROXIES = "10.1.0.0/16, 127.0.0.1, 2001:db8:a::/48"


class Context:
    """The part of a connection's context that a request reads."""

    def __init__(self, remote_ip: str, protocol: str) -> None:
        self.remote_ip, self.protocol = remote_ip, protocol


class Connection:
    """A connection from `remote_ip`."""

    def __init__(self, remote_ip: str, protocol: str = "http") -> None:
        self.context = Context(remote_ip, protocol)

    def set_close_callback(self, _callback: object) -> None: ...


def request(peer: str, *forwarded: str, protocol: str = "http", **headers: str) -> HTTPServerRequest:
    """A request from `peer` with these X-Forwarded-For headers; other header names have `_` for `-`."""
    given = HTTPHeaders({"Host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()})
    for value in forwarded:
        given.add("X-Forwarded-For", value)
    start = RequestStartLine("GET", "/", "HTTP/1.1")
    return HTTPServerRequest(start_line=start, headers=given, connection=Connection(peer, protocol))  # type: ignore[arg-type]


def settings(**given: object) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", [], "192.0.2.9"),
        ("192.0.2.9", ["6.6.6.6"], "192.0.2.9"),  # no proxy: the header is the client's own
        ("10.1.2.3", ["6.6.6.6"], "6.6.6.6"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),  # the first entry came with the request
        ("10.1.2.3", ["6.6.6.6, 198.51.100.7, 10.1.0.1, 127.0.0.1"], "198.51.100.7"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.7", "10.1.0.1"], "198.51.100.7"),  # several headers are one list
        ("10.1.2.3", ["127.0.0.1, 10.1.0.1"], "127.0.0.1"),  # a proxy's own request
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["6.6.6.6, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["6.6.6.6, , 10.1.0.1"], "10.1.0.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.7:4711"], "198.51.100.7"),
        ("10.1.2.3", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("10.1.2.3", ["010.1.2.3"], "10.1.2.3"),  # not an address
        ("10.1.2.3", ["6.6.6.6, <script>"], "10.1.2.3"),
        ("::ffff:10.1.2.3", ["198.51.100.7"], "198.51.100.7"),  # as a socket for both families has it
        ("2001:db8:a::1", ["198.51.100.7, ::ffff:10.1.0.1"], "198.51.100.7"),
        ("2001:db8:a::1", [], "2001:db8:a::/64"),
        ("2001:db8:b::1", ["198.51.100.7"], "2001:db8:b::/64"),
        ("fe80::1%eth0", ["198.51.100.7"], "fe80::/64"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(peer: str, forwarded: list[str], client: str) -> None:
    assert client_address(request(peer, *forwarded), settings(trusted_proxies=PROXIES)) == client


@pytest.mark.parametrize(
    ("forwarded", "client"), [("6.6.6.6, 198.51.100.7", "198.51.100.7"), ("nonsense", "192.0.2.9")]
)
def test_trust_proxy_takes_what_the_direct_peer_wrote(forwarded: str, client: str) -> None:
    assert client_address(request("192.0.2.9", forwarded), settings(trust_proxy=True)) == client


def test_a_trusted_direct_peer_may_be_followed_by_trusted_networks() -> None:
    given = settings(trust_proxy=True, trusted_proxies="10.1.0.0/16")
    assert client_address(request("192.0.2.9", "6.6.6.6, 198.51.100.7, 10.1.0.1"), given) == "198.51.100.7"


def test_a_header_of_many_entries_is_read_from_its_end_only() -> None:
    long = ", ".join(["10.1.0.1"] * 1_000)
    assert (
        client_address(request("10.1.2.3", f"{long}, 198.51.100.7"), settings(trusted_proxies=PROXIES))
        == "198.51.100.7"
    )


@pytest.mark.parametrize(
    ("peer", "proto", "protocol", "secure"),
    [
        ("10.1.2.3", "https", "http", True),
        ("10.1.2.3", "HTTPS", "http", True),
        ("10.1.2.3", "https, http", "http", False),  # the last one is the trusted proxy's
        ("10.1.2.3", "", "http", False),
        ("192.0.2.9", "https", "http", False),
        ("192.0.2.9", "", "https", True),
    ],
)
def test_a_request_is_secure_by_its_connection_or_a_trusted_proxy(
    peer: str, proto: str, protocol: str, secure: bool
) -> None:
    given = settings(trusted_proxies=PROXIES)
    assert is_secure(request(peer, protocol=protocol, X_Forwarded_Proto=proto), given) is secure
