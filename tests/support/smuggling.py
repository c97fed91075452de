"""Requests whose end two servers may find in different places (request smuggling), and what a client gets for them."""

import asyncio
from dataclasses import dataclass

from tornado.httputil import HTTPHeaders

HOST = b"Host: dex.example"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: dex.example\r\n\r\n"
"""A request within the body of another one. No server may see it as a request."""
LAST = b"GET /last HTTP/1.1\r\nHost: dex.example\r\nConnection: close\r\n\r\n"
"""Sent behind every payload, so that the connection ends."""


def post(*headers: bytes, body: bytes = b"", target: bytes = b"/posted", end: bytes = b"\r\n") -> bytes:
    """A POST with these header lines, in this order."""
    lines = [b"POST " + target + b" HTTP/1.1", HOST, b"Content-Type: application/json", *headers, b""]
    return end.join(lines) + end + body


def get(target: bytes, *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A GET with these header lines, without a Host of its own."""
    return b"\r\n".join([b"GET " + target + b" " + version, *headers, b"", b""])


CHUNKED = b"Transfer-Encoding: chunked"
NO_CHUNKS = b"0\r\n\r\n"
WHOLE = b"Content-Length: %d" % len(SMUGGLED)
INSIDE = b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"
"""The smuggled request as a chunk."""

PAIRS: dict[str, bytes] = {
    # Both lengths: one server believes the first header, the other the second.
    "CL.TE": post(b"Content-Length: %d" % len(NO_CHUNKS + SMUGGLED), CHUNKED, body=NO_CHUNKS + SMUGGLED),
    "TE.CL": post(CHUNKED, b"Content-Length: 4", body=INSIDE),
    "CL.0": post(WHOLE, body=SMUGGLED, target=b"/healthz"),
    # A Transfer-Encoding that only one of them understands.
    **{
        f"TE.TE {name}": post(WHOLE, header, body=SMUGGLED)
        for name, header in {
            "space before the colon": b"Transfer-Encoding : chunked",
            "tab before the colon": b"Transfer-Encoding\t: chunked",
            "tab before the value": b"Transfer-Encoding:\tchunked",
            "vertical tab": b"Transfer-Encoding: \x0bchunked",
            "trailing vertical tab": b"Transfer-Encoding: chunked\x0b",
            "quoted": b'Transfer-Encoding: "chunked"',
            "unknown": b"Transfer-Encoding: xchunked",
            "listed first": b"Transfer-Encoding: chunked, identity",
            "listed last": b"Transfer-Encoding: identity, chunked",
            "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "identity": b"Transfer-Encoding: identity",
            "capitals": b"TRANSFER-ENCODING: CHUNKED",
            "empty": b"Transfer-Encoding:",
            "with a parameter": b"Transfer-Encoding: chunked;q=1",
            "underscore": b"Transfer_Encoding: chunked",
            "line feed within": b"X: y\nTransfer-Encoding: chunked",
            "carriage return within": b"X: y\rTransfer-Encoding: chunked",
            "null within": b"Transfer-Encoding: chunked\x00",
            "folded": b"Transfer-Encoding:\r\n chunked",
            "folded behind another": b"X: y\r\n Transfer-Encoding: chunked",
        }.items()
    },
    "TE without CL, twice": post(CHUNKED, CHUNKED, body=INSIDE),
    "TE in HTTP/1.0": post(CHUNKED, body=INSIDE).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    # Lengths that only one of them understands.
    "two lengths that differ": post(b"Content-Length: 0", WHOLE, body=SMUGGLED),
    "two lengths that agree": post(WHOLE, WHOLE, body=SMUGGLED),
    "a list of lengths": post(WHOLE + b", 0", body=SMUGGLED),
    **{
        f"length {value!r}": post(b"Content-Length: " + value, body=SMUGGLED)
        for value in (b"+46", b"-1", b"0x2e", b"46 0", b"4_6", b"4e1", b"", b"46;", b"\xb2", b"9" * 40)
    },
    "length with a space before the colon": post(WHOLE.replace(b":", b" :"), body=SMUGGLED),
    "length that is folded": post(b"X: y\r\n " + WHOLE, body=SMUGGLED),
    "length behind a line feed": post(b"X: y\n" + WHOLE, body=SMUGGLED),
    "length of a GET": get(b"/healthz", HOST, WHOLE) + SMUGGLED,
    # Lines.
    "bare line feeds": post(WHOLE, body=SMUGGLED, end=b"\n"),
    "bare carriage returns": post(WHOLE, body=SMUGGLED, end=b"\r"),
    "a line that is no header": post(b"no header", WHOLE, body=SMUGGLED),
    "a header without a name": post(b": value", WHOLE, body=SMUGGLED),
    "folded first": post(b" X: y", WHOLE, body=SMUGGLED),
    "two spaces in the first line": post(WHOLE, body=SMUGGLED).replace(b"POST /", b"POST  /", 1),
    "no version": get(b"/healthz", HOST, version=b"").replace(b" \r\n", b"\r\n", 1),
    "version 1.10": get(b"/healthz", HOST, WHOLE, version=b"HTTP/1.10") + SMUGGLED,
    "version 2": get(b"/healthz", HOST, WHOLE, version=b"HTTP/2.0") + SMUGGLED,
    # Chunks.
    **{
        f"chunk {name}": post(CHUNKED, body=body)
        for name, body in {
            "extension": b"2;a=b\r\n{}\r\n0\r\n\r\n",
            "extension with a line feed": b"2;\n{}\r\n%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
            "line feed behind the size": b"2\n{}\r\n0\r\n\r\n",
            "size with a sign": b"+2\r\n{}\r\n0\r\n\r\n",
            "size with 0x": b"0x2\r\n{}\r\n0\r\n\r\n",
            "size with an underscore": b"0_2\r\n{}\r\n0\r\n\r\n",
            "size with spaces": b" 2 \r\n{}\r\n0\r\n\r\n",
            "size of 70 bits": b"100000000000000002\r\n{}\r\n0\r\n\r\n",
            "without an end of line": b"2\r\n{}0\r\n\r\n" + SMUGGLED,
            "longer than its size": b"2\r\n{}xx\r\n0\r\n\r\n",
            "trailer": b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
            "trailer with a request": b"2\r\n{}\r\n0\r\n" + SMUGGLED,
        }.items()
    },
    # Targets and names.
    "absolute target of the same host": get(b"http://dex.example/healthz", HOST),
    "absolute target of another host": get(b"http://evil.example/healthz", HOST),
    "absolute target, another Host": get(b"http://dex.example/healthz", b"Host: evil.example"),
    "absolute target of another scheme": get(b"ftp://dex.example/healthz", HOST),
    "authority as the target": get(b"dex.example:80", HOST),
    "target with a fragment": get(b"/healthz#/fragment", HOST),
    "target with a line feed": get(b"/healthz%0d%0aX:%20y", HOST),
    "two Hosts": get(b"/healthz", HOST, b"Host: evil.example"),
    "a list of Hosts": get(b"/healthz", b"Host: dex.example, evil.example"),
    "a Host with a path": get(b"/healthz", b"Host: dex.example/smuggled"),
    "no Host": get(b"/healthz"),
    # Other ways to end a request early.
    "Expect with a body": post(WHOLE, b"Expect: 100-continue", body=SMUGGLED),
    "another expectation": post(WHOLE, b"Expect: smuggling", body=SMUGGLED),
    "an upgrade that is refused": SMUGGLED.join(
        [
            get(
                b"/api/orders/execute",
                HOST,
                b"Upgrade: websocket",
                b"Connection: Upgrade",
                b"Sec-WebSocket-Version: 7",
                WHOLE,
            ),
            b"",
        ]
    ),
    "an upgrade to HTTP/2": get(b"/healthz", HOST, b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", WHOLE)
    + SMUGGLED,
    "Content-Length named in Connection": post(b"Connection: Content-Length", WHOLE, body=SMUGGLED),
}
"""Each ends with a body, or is refused before it. What is behind it is a request of its own."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer on a connection."""

    status: int
    headers: HTTPHeaders
    body: bytes


async def conversation(port: int, payload: bytes, seconds: float = 20.0) -> list[Answered]:
    """Send everything at once, and read the answers until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    try:
        async with asyncio.timeout(seconds):
            writer.write(payload)
            while (answer := await _answer(reader)) is not None:
                answers.append(answer)
    finally:
        writer.transport.abort()
    return answers


async def _answer(reader: asyncio.StreamReader) -> Answered | None:
    """The next final answer; None at the end of the connection. One without a head (HTTP/0.9) has the status 0."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            return Answered(0, HTTPHeaders(), end.partial) if end.partial else None
        except ConnectionError:
            return None
        start, _, rest = head.decode("latin-1").partition("\r\n")
        status = int(start.split()[1])
        if status >= 200:
            break
    headers = HTTPHeaders.parse(rest)
    return Answered(status, headers, await reader.readexactly(int(headers.get("Content-Length", "0"))))
