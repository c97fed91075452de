"""Promise 18: what a page of another site makes a browser send is refused, and what programs send is served."""

from types import SimpleNamespace
from typing import cast

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest

from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.problems import HostNotAllowedError, OriginNotAllowedError
from dexexec.config.settings import Settings, load
from dexexec.errors import RequestError, SettingsError


def outcome(headers: dict[str, str], method: str = "POST", **settings: object) -> type[RequestError] | None:
    """None for a request that is let in, else the error it is refused with. Tornado itself refuses some of them."""
    request = SimpleNamespace(method=method, headers=HTTPHeaders(headers), connection=None)
    check = SiteCheck(Settings(_env_file=None, **settings))  # type: ignore[arg-type]
    try:
        check.check(cast(HTTPServerRequest, request))
    except RequestError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:3000",
        "LocalHost.:3000",
        "dex.localhost",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.1.2.3:1",
        "[::1]",
        "[::1]:3000",
        "[0:0:0:0:0:0:0:1]:3000",
        "[::ffff:127.0.0.1]:3000",
    ],
)
def test_promise_18_this_machine_by_any_of_its_names_is_served(host: str) -> None:
    assert outcome({"Host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "localhost@evil.example",
        "me:secret@localhost",
        "10.0.0.1:3000",
        "[fe80::1]",
        "128.0.0.1",
        "[::1",
        "::1",
        "localhost:3000:3000",
        "localhost:port",
        "localhost/",
        "localhost, evil.example",
        "",
    ],
)
def test_promise_18_a_foreign_name_that_points_at_this_machine_is_refused(host: str) -> None:
    assert outcome({"Host": host}) is HostNotAllowedError
    own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert outcome(own) is HostNotAllowedError
    assert (
        outcome({"Host": host, "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}) is HostNotAllowedError
    )


def test_promise_18_the_address_that_is_listened_on_is_served() -> None:
    assert outcome({"Host": "10.0.0.7:3000"}, host="10.0.0.7") is None
    assert outcome({"Host": "[fd00::7]:3000"}, host="fd00:0::7") is None
    assert outcome({"Host": "dex.internal"}, host="dex.internal") is None
    assert outcome({"Host": "10.0.0.8:3000"}, host="10.0.0.7") is HostNotAllowedError


@pytest.mark.parametrize(
    ("allowed", "host", "served"),
    [
        ("dex.example", "dex.example", True),
        ("dex.example", "DEX.example.:8443", True),
        ("Dex.Example", "dex.example", True),
        ("dex.example", "a.dex.example", False),
        ("dex.example", "dex.example.evil.example", False),
        ("dex.example:8443", "dex.example:8443", True),
        ("dex.example:8443", "dex.example", False),
        ("*.dex.example", "a.b.dex.example", True),
        ("*.dex.example", "dex.example", False),
        ("*.dex.example", "evildex.example", False),
        ("a.example, b.example", "b.example", True),
        ("10.0.0.7", "10.0.0.7:3000", True),
        ("[fd00::7]", "[fd00:0:0::7]:3000", True),
        ("münze.example", "xn--mnze-0ra.example", True),
        ("*", "anything.example", True),
    ],
)
def test_promise_18_hosts_of_the_setting_are_served(allowed: str, host: str, served: bool) -> None:
    assert (outcome({"Host": host}, allowed_hosts=allowed) is None) is served


@pytest.mark.parametrize(
    "value", ["https://dex.example", "dex.example/api", "me@dex.example", "dex.example:port", "::1"]
)
def test_a_host_that_could_never_match_is_an_error_at_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXEXEC_ALLOWED_HOSTS", f"a.example,{value}")
    with pytest.raises(SettingsError, match=r"^DEXEXEC_ALLOWED_HOSTS: .*no https://") as caught:
        load()
    assert value not in str(caught.value)


def test_a_program_that_sends_no_origin_is_served_as_ever() -> None:
    assert outcome({"Host": "localhost:3000"}) is None
    assert outcome({}) is None, "HTTP/1.0, which no browser speaks"


OWN = {"Host": "localhost:3000"}


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({"Origin": "http://localhost:3000"}, True),
        ({"Origin": "http://LOCALHOST:3000"}, True),
        ({"Origin": "https://localhost:3000"}, True),  # a proxy may have taken TLS away
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://localhost:8080"}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "http://127.0.0.1:3000"}, False),
        ({"Origin": "http://localhost:3000@evil.example"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}, False),
        ({"Origin": "http://localhost:3000, http://evil.example"}, False),
        ({"Origin": "http://localhost:3000/"}, False),
        ({"Origin": "ftp://localhost:3000"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "chrome-extension://abcdef"}, False),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, False),
        ({"Sec-Fetch-Site": "new-in-2030"}, False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_promise_18_pages_of_our_own_origin_alone_are_served(
    headers: dict[str, str], served: bool, method: str
) -> None:
    assert outcome({**OWN, **headers}, method) is (None if served else OriginNotAllowedError)


@pytest.mark.parametrize(
    ("method", "destination", "served"),
    [("GET", "document", True), ("GET", "iframe", False), ("GET", "", False), ("POST", "document", False)],
)
def test_a_link_may_be_followed_to_us_but_no_form_be_posted_and_no_frame_be_filled(
    method: str, destination: str, served: bool
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": destination}
    assert (outcome({**OWN, **headers}, method) is None) is served


@pytest.mark.parametrize(
    ("allowed", "origin", "served"),
    [
        ("https://app.example", "https://app.example", True),
        ("https://App.example:443/", "https://app.example", True),
        ("https://app.example", "https://app.example:8443", False),
        ("https://app.example", "http://app.example", False),
        ("https://app.example", "https://app.example.evil.example", False),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("chrome-extension://abcdef", "chrome-extension://abcdeg", False),
        ("null", "null", True),
        ("*", "null", True),
        ("*", "https://evil.example", True),
    ],
)
def test_origins_of_the_setting_are_served(allowed: str, origin: str, served: bool) -> None:
    headers = {**OWN, "Origin": origin, "Sec-Fetch-Site": "cross-site"}
    assert (outcome(headers, allowed_origins=allowed) is None) is served


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)],  # noqa: S104
)
def test_promise_18_a_start_that_lets_the_network_in_without_keys_warns_about_it(host: str, warned: bool) -> None:
    assert "DEXEXEC_HOST" not in " ".join(Settings(_env_file=None, host=host).warnings()), "keys are required then"
    warnings = " ".join(Settings(_env_file=None, host=host, require_keys=False).warnings())
    assert ("DEXEXEC_HOST" in warnings and "firewall" in warnings) is warned


@pytest.mark.parametrize(
    "value", ["app.example", "https://app.example/page", "https://*.app.example", "https://", "//a"]
)
def test_an_origin_that_could_never_match_is_an_error_at_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXEXEC_ALLOWED_ORIGINS", f"https://a.example,{value}")
    with pytest.raises(SettingsError, match=r"^DEXEXEC_ALLOWED_ORIGINS: .*without a path"):
        load()
