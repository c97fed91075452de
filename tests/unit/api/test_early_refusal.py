"""Which heads are plain enough for a refusal before the request is parsed, and what it answers."""

import json

import pytest

from dexexec.api.early_refusal import MOST_BYTES, EarlyRefusal, plain_length, whole_answer
from dexexec.errors import QueueFullError

PLAIN = b"POST /api/orders/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33\r\n\r\n"


def with_header(line: bytes) -> bytes:
    return PLAIN.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        PLAIN,
        PLAIN.replace(b"execute", b"execute/"),
        PLAIN.replace(b"Content-Length: 33", b"content-LENGTH:\t33 "),
        with_header(b"Content-Type: application/json"),
        with_header(b"Connection: Keep-Alive"),
        with_header(b"Idempotency-Key: content-length: 5"),
        with_header(b"X-Expect: nothing"),
    ],
)
def test_a_plain_head_has_a_length(head: bytes) -> None:
    assert plain_length(head) == 33


@pytest.mark.parametrize(
    "head",
    [
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"execute", b"execute?x=1"),
        PLAIN.replace(b"execute", b"other"),
        PLAIN.replace(b"/api", b"http://localhost/api"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"Host: localhost", b"Host: local\rhost"),
        PLAIN.replace(b"Host: localhost", b"Host: localhost\r\n folded"),
        PLAIN.replace(b"Host:", b"Host :"),
        PLAIN.replace(b"Content-Length: 33\r\n", b""),
        PLAIN.replace(b"33", b"-1"),
        PLAIN.replace(b"33", b"+33"),
        PLAIN.replace(b"33", b"33, 33"),
        PLAIN.replace(b"33", b"0x21"),
        PLAIN.replace(b"33", str(MOST_BYTES + 1).encode()),
        with_header(b"Content-Length: 33"),
        with_header(b"content-length: 34"),
        with_header(b"Transfer-Encoding: chunked"),
        with_header(b"Expect: 100-continue"),
        with_header(b"Upgrade: websocket"),
        with_header(b"Connection: close"),
        with_header(b"Connection: keep-alive, upgrade"),
        with_header(b"Origin: https://elsewhere"),
        with_header(b"Sec-Fetch-Site: cross-site"),
        with_header(b"x-request-ID: mine"),
        with_header(b"X: caf\xc3\xa9"),
    ],
)
def test_any_other_head_takes_its_usual_way(head: bytes) -> None:
    assert plain_length(head) is None


def test_nothing_is_refused_while_there_is_room_or_the_process_stops() -> None:
    def full() -> None:
        raise QueueFullError("full")

    assert EarlyRefusal(lambda: None, lambda: False).of(PLAIN) is None
    assert EarlyRefusal(full, lambda: True).of(PLAIN) is None
    assert EarlyRefusal(full, lambda: False).of(b"GET / HTTP/1.1\r\n\r\n") is None
    refused = EarlyRefusal(full, lambda: False).of(PLAIN)
    assert refused is not None
    assert refused[0] == 33


@pytest.mark.parametrize("close", [False, True])
def test_the_answer_is_a_problem_document(close: bool) -> None:
    head, _, body = whole_answer(QueueFullError("full"), close=close).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert b"Retry-After: 1" in lines
    assert b"Content-Length: %d" % len(body) in lines
    assert (b"Connection: close" in lines) is close
    assert json.loads(body)["detail"] == "full"
