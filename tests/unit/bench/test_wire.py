"""The load client's parsers for HTTP and WebSocket, with input split in any place."""

import asyncio
from typing import Any

import pytest

from dexexec.bench.client.http import HttpConnection, Target, order_id, order_request
from dexexec.bench.client.websocket import PING, PONG, TEXT, WebSocket, frame

ANSWER = b'HTTP/1.1 202 Accepted\r\nServer: x\r\nContent-Length: 17\r\n\r\n{"orderId":"abc"}'
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length:0\r\n\r\n"


class Wire:
    """A transport that records what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


class User:
    """Records the answers and losses of a connection."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.losses: list[str] = []

    def answered(self, connection: HttpConnection, status: int, body: bytes) -> None:
        self.answers.append((status, body))

    def lost(self, connection: HttpConnection, why: str) -> None:
        self.losses.append(why)


def connection() -> tuple[Any, User, Any]:
    wire = Wire()
    user = User()
    made: Any = HttpConnection(user)
    made.connection_made(wire)
    return made, user, wire


@pytest.mark.parametrize("size", [1, 7, len(ANSWER)])
def test_an_answer_may_arrive_in_pieces(size: int) -> None:
    made, user, wire = connection()
    for answer in (ANSWER, BUSY):
        made.send(b"request")
        for at in range(0, len(answer), size):
            made.data_received(answer[at : at + size])
        assert not made.busy
    assert user.answers == [(202, b'{"orderId":"abc"}'), (503, b"")]
    assert wire.written == b"requestrequest"
    assert user.losses == []


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"SSH-2.0-x\r\n\r\n\r\n"],
    ids=["chunked", "not HTTP"],
)
def test_an_unreadable_answer_counts_as_lost(answer: bytes) -> None:
    made, user, wire = connection()
    made.send(b"request")
    made.data_received(answer)
    assert user.answers == []
    assert len(user.losses) == 1
    assert wire.aborted


def test_an_answer_without_a_request_counts_as_lost() -> None:
    made, user, _ = connection()
    made.data_received(ANSWER)
    assert user.answers == []
    assert len(user.losses) == 1


def test_a_broken_connection_is_reported_once() -> None:
    made, user, _ = connection()
    made.send(b"request")
    made.connection_lost(ConnectionResetError())
    made.connection_lost(None)
    assert user.losses == ["ConnectionResetError"]
    assert made.busy, "its request has no answer"


def test_order_id_is_empty_for_an_answer_without_one() -> None:
    order = "01234567-89ab-cdef-0123-456789abcdef"
    assert order_id(b'{"orderId":"%s","more":1}' % order.encode()) == order
    assert order_id(b'{"error":"no"}') == ""


def test_a_request_has_the_length_of_its_body() -> None:
    head, _, body = order_request(Target.of("http://127.0.0.1:3000")).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert b"Host: 127.0.0.1:3000" in head


class SocketUser:
    """Records the messages and the end of a socket."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.ends: list[str] = []

    def on_text(self, _: WebSocket, payload: bytes) -> None:
        self.texts.append(payload)

    def on_end(self, _: WebSocket, why: str) -> None:
        self.ends.append(why)


async def socket() -> tuple[Any, SocketUser, Any]:
    wire = Wire()
    user = SocketUser()
    made: Any = WebSocket(user.on_text, user.on_end)
    made.connection_made(wire)
    return made, user, wire


def server_frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65_536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


@pytest.mark.parametrize("size", [1, 1000, 10**6])
async def test_messages_of_every_length_may_arrive_in_pieces(size: int) -> None:
    made, user, wire = await socket()
    texts = [b"", b"a" * 125, b"b" * 126, b"c" * 70_000]
    sent = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"".join(server_frame(TEXT, text) for text in texts[:3])
    sent += server_frame(TEXT, texts[3]) if size > 1 else b""
    sent += server_frame(PING, b"x")
    for at in range(0, len(sent), size):
        made.data_received(sent[at : at + size])
    assert made.opened.done()
    assert user.texts == (texts if size > 1 else texts[:3])
    assert wire.written == frame(PONG, b"x"), "a ping is answered"
    assert user.ends == []


async def test_a_refused_handshake_and_a_close_are_reported() -> None:
    made, user, _ = await socket()
    made.data_received(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    assert user.ends == ["refused: HTTP/1.1 403"]
    with pytest.raises(ConnectionError):
        await made.opened
    made, user, _ = await socket()
    made.data_received(b"HTTP/1.1 101 x\r\n\r\n" + server_frame(8, (4008).to_bytes(2, "big")))
    made.connection_lost(None)
    assert user.ends == ["closed with 4008"]
    await asyncio.wait_for(made.opened, 20)
