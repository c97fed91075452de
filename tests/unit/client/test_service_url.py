"""The address of the service, and the key that no text shows."""

import pytest

from dexexec.client import AsyncClient
from dexexec.client.service_url import ENVIRONMENT_KEY, ApiKey, ServiceUrl, read_key

KEY = "dx_abcdefghijkl_" + "s" * 43


@pytest.mark.parametrize(
    ("url", "http", "socket"),
    [
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000/api/x?a=1%2C2", "ws://127.0.0.1:3000/api/x"),
        (
            "https://http.example/dexexec/",
            "https://http.example/dexexec/api/x?a=1%2C2",
            "wss://http.example/dexexec/api/x",
        ),
        ("http://[::1]:1", "http://[::1]:1/api/x?a=1%2C2", "ws://[::1]:1/api/x"),
    ],
)
def test_paths_are_below_the_base(url: str, http: str, socket: str) -> None:
    read = ServiceUrl.read(url)
    assert (read.http("/api/x", {"a": "1,2"}), read.websocket("/api/x")) == (http, socket)


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:3000", "ftp://host", "http://", "http://host:0", "http://host:99999", "http://ho st",
        "http://host\n", f"http://user:{KEY}@host", f"http://host/?token={KEY}", f"http://host/#{KEY}",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        AsyncClient(url)
    assert KEY not in str(caught.value)


def test_the_key_is_in_no_text_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    client = AsyncClient(token=KEY)
    assert KEY not in repr(client) + str(client) + repr(ApiKey(KEY)) + str(ApiKey(KEY))
    assert ApiKey(KEY).headers() == {"Authorization": f"Bearer {KEY}"}
    monkeypatch.setenv(ENVIRONMENT_KEY, KEY)
    found = read_key(None)
    assert found is not None
    assert found.headers() == ApiKey(KEY).headers()
    assert read_key("") is None, "no key, although the environment has one"
    monkeypatch.delenv(ENVIRONMENT_KEY)
    assert read_key(None) is None


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Other: 1", "ä", "\x00"])
def test_a_key_that_would_break_the_header_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        AsyncClient(token=token)
    assert token not in str(caught.value)
