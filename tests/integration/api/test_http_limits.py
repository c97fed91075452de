"""What the HTTP server does with bodies over the limit and with clients that do not behave."""

import asyncio

import pytest

from dexexec.api.app import EXECUTE, MAX_BODY_BYTES
from dexexec.api.body_limit import LINGER_BYTES
from tests.support.running_api import GOOD, HEAD, Raw, problem, running_service

# Bodies over the limit


def sized(length: int) -> bytes:
    """An order in a body of exactly `length` bytes."""
    return GOOD + b" " * (length - len(GOOD))


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES + sized(MAX_BODY_BYTES))
        assert (await raw.answer())[0] == 202
        await raw.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(sized(MAX_BODY_BYTES), 999))
        assert (await raw.answer())[0] == 202


@pytest.mark.parametrize("path", [EXECUTE, "/no/such/path", "/healthz"])
async def test_a_body_one_byte_over_the_limit_is_413_and_the_connection_lives_on(path: str) -> None:
    async with running_service() as service, service.raw() as raw:
        head = HEAD.replace(EXECUTE.encode(), path.encode())
        await raw.send(head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1) + sized(MAX_BODY_BYTES + 1))
        status, headers, body = await raw.answer()
        assert "65536 bytes" in problem(headers, body, status, "body-too-large")["detail"]
        assert status == 413
        await raw.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
        assert (await raw.answer())[0] == 202
        assert len(service.store.created) == 1
        (line,) = service.log_lines()
        assert (line["status"], line["problem"], line["path"]) == (413, "body-too-large", path)


async def test_a_chunked_body_over_the_limit_is_413() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(sized(MAX_BODY_BYTES + 1), 4_000))
        status, headers, body = await raw.answer()
        problem(headers, body, status, "body-too-large")
        assert (status, headers["Connection"]) == (413, "close")
        assert service.store.created == []


async def test_one_huge_chunk_is_413_before_it_has_arrived() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b" " * 2 * MAX_BODY_BYTES)
        assert (await raw.answer())[0] == 413


@pytest.mark.parametrize("length", [str(10**9), str(10**18), "9" * 20])
async def test_an_announced_giant_is_413_at_once_and_is_not_read_to_its_end(length: str) -> None:
    async with running_service(body_seconds=3_600) as service, service.raw() as raw:
        await raw.send(HEAD + f"Content-Length: {length}\r\n\r\n".encode())
        status, headers, _ = await raw.answer()
        assert (status, headers["Connection"]) == (413, "close")
        await raw.send(b" " * (LINGER_BYTES + 1))
        assert await raw.closed() == b""


async def test_a_client_with_an_expect_header_is_refused_before_it_sends_its_body() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
        assert (await raw.answer())[0] == 413
        assert await raw.closed() == b""
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD))
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await raw.send(GOOD)
        assert (await raw.answer())[0] == 202


async def test_a_refused_body_that_never_comes_ends_with_the_body_timeout() -> None:
    async with running_service(body_seconds=0.1) as service, service.raw() as raw:
        await raw.send(HEAD + b"Content-Length: 100000\r\n\r\n")
        assert (await raw.answer())[0] == 413
        assert await raw.closed() == b""


# Clients that do not behave


@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"])
async def test_a_body_that_does_not_come_in_time_ends_the_connection_and_stores_nothing(framing: bytes) -> None:
    async with running_service(body_seconds=0.1) as service, service.raw() as raw:
        await raw.send(HEAD + framing)
        assert await raw.closed() == b""
        assert service.store.created == []


async def refused_as_unreadable(raw: Raw) -> None:
    """The last answer on this connection is a problem document."""
    status, headers, body = await raw.answer()
    problem(headers, body, status, "bad-request")
    assert (status, headers["Connection"]) == (400, "close")
    assert await raw.closed() == b""


async def test_headers_that_do_not_come_in_time_end_the_connection() -> None:
    async with running_service(idle_seconds=0.1) as service, service.raw() as raw:
        await raw.send(b"POST / HTTP/1.1\r\nHost:")
        assert await raw.closed() == b""


async def test_headers_over_the_limit_end_the_connection() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"X: " + b"x" * 40_000)
        await raw.closed()
        assert (await service.post()).code == 202


HEALTH = b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (HEALTH % (b"/" + b"a" * 9_000, b""), 414, "target-too-long"),
        (HEALTH % (b"/healthz?" + b"a" * 20_000, b""), 414, "target-too-long"),
        (HEALTH % (b"/healthz", b"X: " + b"a" * 17_000 + b"\r\n"), 431, "headers-too-large"),
        (HEALTH % (b"/healthz", b"Expect: 200-ok\r\n"), 417, "expectation-failed"),
        (HEAD + b"Expect: 200-ok\r\nContent-Length: 100\r\n\r\n", 417, "expectation-failed"),
        (HEAD + b"Expect: 200-ok\r\nTransfer-Encoding: chunked\r\n\r\n", 417, "expectation-failed"),
        (HEALTH % (b"healthz", b""), 400, "bad-request"),
        (HEALTH % (b"ftp://localhost/healthz", b""), 400, "bad-request"),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    ],
)
async def test_a_head_that_cannot_be_served_gets_an_error_with_the_reason(
    request_bytes: bytes, status: int, code: str
) -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(request_bytes)
        found, headers, body = await raw.answer()
        problem(headers, body, found, code)
        assert found == status
        (line,) = service.log_lines()
        assert line["problem"] == code
        assert (await service.post()).code == 202


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://localhost/healthz", b"localhost", 200),
        (b"HTTP://localhost:3000/healthz?a=b", b"evil.example", 200),
        (b"http://evil.example/healthz", b"localhost", 421),
        (b"http://localhost", b"localhost", 200),
    ],
)
async def test_of_a_whole_url_as_target_the_host_in_it_counts(target: bytes, host: bytes, status: int) -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host))
        assert (await raw.answer())[0] == status


async def test_an_expect_header_in_any_case_is_answered() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Expect: 100-Continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD))
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await raw.send(GOOD)
        assert (await raw.answer())[0] == 202


@pytest.mark.parametrize(
    "bad",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: me@localhost\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1_0\r\n\r\n",
        HEAD + "Content-Length: ²\r\n\r\n".encode("latin-1"),
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx",
    ],
)
async def test_what_is_not_http_gets_400_and_the_connection_ends(bad: bytes) -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(bad)
        await refused_as_unreadable(raw)
        (line,) = service.log_lines()
        assert (line["status"], line["client"]) == (400, "127.0.0.1")
        assert service.store.created == []
        assert (await service.post()).code == 202


async def test_a_content_length_that_is_too_short_makes_the_rest_a_request_of_its_own_and_no_order() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Content-Length: 5\r\n\r\n" + GOOD + b"\r\n\r\n")
        status, headers, body = await raw.answer()
        problem(headers, body, status, "malformed-body")
        await refused_as_unreadable(raw)
        assert service.store.created == []


async def test_pipelined_requests_are_answered_in_order_and_junk_behind_them_ends_the_connection() -> None:
    async with running_service() as service, service.raw() as raw:
        one = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
        await raw.send(one * 3 + b"junk junk junk\r\n\r\n")
        for _ in range(3):
            assert (await raw.answer())[0] == 202
        await refused_as_unreadable(raw)
        assert len(service.store.created) == 3


async def test_a_client_that_leaves_before_its_answer_affects_no_other() -> None:
    async with running_service() as service:
        service.store.switch.hang()
        async with service.raw() as raw:
            await raw.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
            await service.store.switch.asked.wait()
        service.store.switch.go_on.set()
        assert (await service.post()).code == 202
        assert len(service.store.created) == 2
        assert not [line for line in service.log_lines() if line["level"] == "error"]


async def test_two_hundred_orders_at_once_are_all_accepted_and_enqueued_in_few_commands() -> None:
    async with running_service() as service:
        service.client.close()

        async def poster() -> list[int]:
            async with service.raw() as raw:
                found = []
                for _ in range(10):
                    await raw.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
                    found.append((await raw.answer())[0])
                return found

        answers = await asyncio.gather(*(poster() for _ in range(20)))
        assert answers == [[202] * 10] * 20
        await service.intake.close()
        assert len(set(service.queue.ids)) == len(service.store.created) == 200
        assert service.queue.depth_asked < 50
