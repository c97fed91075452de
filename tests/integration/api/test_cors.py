"""CORS: pages of the origins in DEXEXEC_ALLOWED_ORIGINS may send every request and read every answer, others none."""

import json

import pytest

from dexexec.api.app import EXECUTE, MAX_BODY_BYTES
from tests.support.running_api import GOOD, JSON, document, problem, running_service
from tests.support.streaming import memory_record, open_stream_setup

PAGE = "https://app.example"
FROM_PAGE = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
PREFLIGHT = {
    **FROM_PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
}
PATHS = ["/", EXECUTE, "/api/orders", "/api/orders/7", "/readyz", "/no/such/path"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_preflight_of_an_allowed_page_is_answered_for_every_path(path: str) -> None:
    async with running_service(allowed_origins=f"https://other.example,{PAGE}") as service:
        answer = await service.ask("OPTIONS", path, None, PREFLIGHT)
        assert (answer.code, answer.body) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Vary"] == "Origin"
        assert "PATCH" in answer.headers["Access-Control-Allow-Methods"].split(", ")
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "content-type", "idempotency-key", "if-match"} <= set(allowed)
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Access-Control-Allow-Private-Network" not in answer.headers
        local = await service.ask(
            "OPTIONS", path, None, {**PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
        )
        assert local.headers["Access-Control-Allow-Private-Network"] == "true"


async def test_an_allowed_page_reads_orders_and_refusals_and_their_headers() -> None:
    async with running_service(allowed_origins=PAGE) as service:
        posted = await service.ask("POST", EXECUTE, GOOD, {"Content-Type": JSON, **FROM_PAGE})
        assert posted.code == 202
        answers = [posted, await service.ask("GET", posted.headers["Location"], None, FROM_PAGE)]
        answers.append(await service.ask("GET", "/no/such/path", None, FROM_PAGE))
        answers.append(await service.ask("PUT", "/api/orders", b"", FROM_PAGE))
        answers.append(await service.ask("GET", "/api/orders", None, {**FROM_PAGE, "Host": "evil.example"}))
        assert [answer.code for answer in answers] == [202, 200, 404, 405, 421]
        for answer in answers:
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Vary"] == "Origin"
            exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"ETag", "Location", "Retry-After", "X-Request-Id"} <= set(exposed)


async def test_an_allowed_page_reads_what_is_answered_before_any_handler() -> None:
    async with running_service(allowed_origins=PAGE) as service:
        answer = await service.ask("POST", EXECUTE, b" " * (MAX_BODY_BYTES + 1), {"Content-Type": JSON, **FROM_PAGE})
        document(answer, 413, "body-too-large")
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE


async def test_programs_and_caches_see_that_answers_depend_on_the_origin() -> None:
    async with running_service(allowed_origins=PAGE) as service:
        plain = await service.ask("GET", "/api/orders")
        assert plain.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Origin" not in plain.headers
        assert (await service.ask("GET", "/")).headers.get_list("Vary") == ["Origin", "Accept"]
    async with running_service() as service:
        assert "Vary" not in (await service.ask("GET", "/api/orders")).headers


async def test_any_origin_is_answered_with_a_star_and_without_credentials() -> None:
    async with running_service(allowed_origins="*") as service:
        for method, headers in (("GET", FROM_PAGE), ("OPTIONS", PREFLIGHT)):
            answer = await service.ask(method, "/api/orders", None, headers)
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert "Vary" not in answer.headers


@pytest.mark.parametrize("origin", ["https://app.example.evil.example", "http://app.example", "null"])
async def test_a_foreign_page_gets_no_cors_header_and_its_origin_is_logged(origin: str) -> None:
    async with running_service(allowed_origins=PAGE) as service:
        for method, headers in (("OPTIONS", PREFLIGHT), ("GET", FROM_PAGE)):
            answer = await service.ask(method, "/api/orders", None, {**headers, "Origin": origin})
            assert "DEXEXEC_ALLOWED_ORIGINS" in document(answer, 403, "origin-not-allowed")["detail"]
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]
        for line in service.log_lines():
            assert (line["origin"], line["sec_fetch_site"]) == (origin, "cross-site")


async def test_what_a_foreign_page_sends_as_its_origin_stays_one_short_line_of_the_log() -> None:
    async with running_service() as service, service.raw() as raw:
        name = b"http://" + b"\xc3\xa9" + b"x" * 5_000
        await raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: " + name + b"\r\n\r\n")
        status, headers, body = await raw.answer()
        problem(headers, body, status, "origin-not-allowed")
        (line,) = service.log_lines()
        assert line["origin"].isascii()
        assert len(line["origin"]) < 250


async def test_an_allowed_page_opens_a_socket_and_a_foreign_one_gets_a_problem_document(
    redis_url: str, redis_prefix: str
) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, allowed_origins=PAGE) as setup,
    ):
        await setup.api.connect("", **FROM_PAGE)
        refused = await setup.api.refused("", Origin="https://evil.example")
        assert refused.code == 403
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert "DEXEXEC_ALLOWED_ORIGINS" in json.loads(refused.body)["detail"]
