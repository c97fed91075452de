"""A hand-made HTTP client with one connection per request. The socket is always closed before the result is returned,
also when the request is cancelled or the server is killed."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders, parse_response_start_line

from tests.support.answer_checks import check_answer


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a request was answered."""

    status: int
    headers: HTTPHeaders
    body: bytes


async def exchange(
    url: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None, seconds: float = 20.0
) -> Exchange:
    """Send, and read the whole answer, which must be one that the OpenAPI document has. Raises OSError when there is
    none, none in time, or only a part of it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    fields = {"Host": parts.netloc, "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        async with asyncio.timeout(seconds):
            await loop.sock_connect(connection, (parts.hostname, parts.port or 80))
            await loop.sock_sendall(connection, head.encode() + b"\r\n" + body)
            answer = b""
            while data := await loop.sock_recv(connection, 65_536):
                answer += data
    parsed = _parsed(answer)
    check_answer(method, target, parsed.status, parsed.headers, parsed.body)
    return parsed


def _parsed(answer: bytes) -> Exchange:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        raise ConnectionError(f"no answer, only {answer!r}")
    start, _, rest = head.decode("latin-1").partition("\r\n")
    headers = HTTPHeaders.parse(rest)
    if len(body) != int(headers.get("Content-Length", "0")):
        raise ConnectionError(f"the answer was cut: {answer!r}")
    return Exchange(parse_response_start_line(start).code, headers, body)
