"""The service listens on DEXEXEC_HOST, and the banner names an address that answers."""

import socket
from urllib.parse import urlsplit

import pytest

from dexexec.bootstrap.listening_sockets import listen, main_endpoint, reachable
from dexexec.config.settings import Settings

ALL = "0.0.0.0"  # noqa: S104


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return socket.has_ipv6


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("host", "at"), [("::", {"127.0.0.1", "::1"}), (ALL, {"127.0.0.1"}), ("::1", {"::1"}), ("127.0.0.1", {"127.0.0.1"})]
)
def test_it_listens_on_the_configured_address_and_the_url_that_is_shown_answers(host: str, at: set[str]) -> None:
    settings = Settings(_env_file=None, host=host, port=0)
    sockets = listen(main_endpoint(settings))
    try:
        port = sockets[0].getsockname()[1]
        assert {one for one in ("127.0.0.1", "::1") if answers(one, port)} == at
        shown = urlsplit(reachable(settings, port))
        assert answers(str(shown.hostname), int(shown.port or 0))
    finally:
        for one in sockets:
            one.close()
