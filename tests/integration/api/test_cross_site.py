"""Promise 18 on a real server: what a page of another site makes a browser send stores nothing and reads nothing."""

import json

import pytest
from tornado.httpclient import HTTPClientError

from dexexec.api import cross_site_check
from dexexec.api.app import EXECUTE
from tests.support.running_api import GOOD, JSON, document, running_service
from tests.support.streaming import memory_record, open_stream_setup

REBOUND = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
ELSEWHERE = {"Origin": "http://evil.example"}
PATHS = ["/api/orders", "/api/orders/x", "/healthz", "/readyz", "/problems/internal", "/no/such/path"]


@pytest.mark.parametrize(
    ("headers", "status", "code"), [(REBOUND, 421, "host-not-allowed"), (ELSEWHERE, 403, "origin-not-allowed")]
)
async def test_promise_18_no_page_of_another_site_posts_or_reads_anything(
    headers: dict[str, str], status: int, code: str
) -> None:
    async with running_service() as service:
        answer = await service.ask("POST", EXECUTE, GOOD, {"Content-Type": JSON, **headers})
        assert "DEXEXEC_ALLOWED_" in document(answer, status, code)["detail"]
        for path in PATHS:
            document(await service.ask("GET", path, None, headers), status, code)
        assert service.store.created == []
        assert {line["problem"] for line in service.log_lines()} == {code}


async def test_promise_18_a_proxy_s_name_is_served_once_it_is_listed() -> None:
    async with running_service(allowed_hosts="dex.example") as service:
        headers = {"Host": "dex.example", "Origin": "https://dex.example", "Sec-Fetch-Site": "same-origin"}
        assert (await service.ask("GET", "/api/orders", None, headers)).code == 200
        document(await service.ask("GET", "/api/orders", None, {"Host": "evil.example"}), 421, "host-not-allowed")


async def test_the_address_that_a_connection_came_in_on_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with several addresses that listens on all of them."""
    monkeypatch.setattr(cross_site_check, "is_loopback", lambda _: False)
    async with running_service(host="0.0.0.0") as service:  # noqa: S104 - the test binds by itself
        assert (await service.ask("GET", "/healthz", None, {"Host": f"127.0.0.1:{service.port}"})).code == 200
        assert (await service.ask("GET", "/healthz", None, {"Host": "127.0.0.2"})).code == 421


@pytest.mark.parametrize(("headers", "status"), [(REBOUND, 421), (ELSEWHERE, 403)])
async def test_promise_18_no_page_of_another_site_opens_a_socket(
    redis_url: str, redis_prefix: str, headers: dict[str, str], status: int
) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        with pytest.raises(HTTPClientError) as caught:
            await setup.api.connect("", **headers)
        assert caught.value.code == status
        assert caught.value.response is not None
        assert "DEXEXEC_ALLOWED_" in json.loads(caught.value.response.body)["detail"]
        assert setup.api.sockets == []
