"""Refuses posted orders while the queue is full, before Tornado parses the request.

Between the connection and Tornado. Clients that post again at once must not take the time of the orders in flight, and
most of a refusal's cost was the reading of a request whose content made no difference. Only requests in the plainest
form are refused here; all others take their usual way, and are refused at its end.
"""

import re
from collections.abc import Callable
from http import HTTPStatus

from tornado.httputil import HTTPHeaders

from dexexec.api import problems
from dexexec.api.handler import common_headers, encode, request_id
from dexexec.errors import QueueFullError, RequestError

MOST_BYTES = 4_096
"""Bytes of a body that is read and dropped."""

# Nothing here may be read differently by a proxy before us: lines end with CRLF, and one header alone gives the length.
_PLAIN = re.compile(rb"POST /api/orders/execute/? HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n)+\r\n")
_SPECIAL = re.compile(
    rb"\n(?:(?:transfer-encoding|expect|upgrade|origin|sec-fetch-site|x-request-id):"
    rb"|connection:(?![ \t]*keep-alive[ \t]*\r))",
    re.IGNORECASE,
)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,4})[ \t]*\r", re.IGNORECASE)
_ANY_LENGTH = re.compile(rb"\ncontent-length:", re.IGNORECASE)


class EarlyRefusal:
    """`check_capacity` raises `QueueFullError` when any order would be refused now. `stopping` returns whether clients
    should close their connections."""

    def __init__(self, check_capacity: Callable[[], None], stopping: Callable[[], bool]) -> None:
        self._check_capacity = check_capacity
        self._stopping = stopping

    def of(self, head: bytes) -> tuple[int, bytes] | None:
        """The length of the body that follows `head`, and the answer to the request; None if the request is not refused
        here."""
        length = plain_length(head)
        if length is None or self._stopping():
            return None
        try:
            self._check_capacity()
        except QueueFullError as error:
            return length, whole_answer(error)
        return None


def plain_length(head: bytes) -> int | None:
    """The length of the body, if this is the head of a posted order in its plainest form."""
    if _PLAIN.fullmatch(head) is None or _SPECIAL.search(head) is not None or len(_ANY_LENGTH.findall(head)) != 1:
        return None
    length = _LENGTH.search(head)
    return int(length[1]) if length is not None and int(length[1]) <= MOST_BYTES else None


def whole_answer(error: RequestError, *, close: bool = False) -> bytes:
    """An answer of HTTP/1.1 with the problem document, written without Tornado; with `close`, for a connection that is
    closed behind it."""
    identity = request_id(HTTPHeaders())
    body = encode(problems.document(error, identity))
    headers = {**common_headers(identity), **problems.headers(error)}
    if close:
        headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    status = f"{error.http_status} {HTTPStatus(error.http_status).phrase}"
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
