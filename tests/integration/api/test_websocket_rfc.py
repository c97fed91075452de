"""WebSocket as RFC 6455 has it, by the cases of Autobahn's test suite, and a budget for all that a peer can send."""

import asyncio
import json
from collections.abc import Mapping
from uuid import uuid4

import pytest

from dexexec.api import websocket_connection
from dexexec.api.app import EXECUTE
from tests.support.raw_websocket import RawClient, frame_bytes
from tests.support.streaming import memory_record, open_stream_setup

CONTINUATION, TEXT, BINARY = RawClient.CONTINUATION, RawClient.TEXT, RawClient.BINARY
CLOSE, PING, PONG = RawClient.CLOSE, RawClient.PING, RawClient.PONG
PROTOCOL_ERROR, NO_UTF8, TOO_BIG, POLICY = 1002, 1007, 1009, 1008


def close(code: int, reason: bytes = b"") -> bytes:
    return frame_bytes(CLOSE, code.to_bytes(2, "big") + reason)


def start(payload: bytes = b"{") -> bytes:
    """The first fragment of a text."""
    return frame_bytes(TEXT, payload, fin=False)


VIOLATIONS = {
    "a frame without a mask": (frame_bytes(TEXT, b"{}", masked=False), PROTOCOL_ERROR),
    "a control frame without a mask": (frame_bytes(PONG, masked=False), PROTOCOL_ERROR),
    **{f"reserved bits {bits}": (frame_bytes(TEXT, b"{}", reserved=bits), PROTOCOL_ERROR) for bits in range(1, 8)},
    **{f"opcode {code}": (frame_bytes(code, b"{}"), PROTOCOL_ERROR) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{f"control frame {code} of 126 bytes": (frame_bytes(code, bytes(126)), PROTOCOL_ERROR) for code in (8, 9, 10)},
    **{f"control frame {code} in fragments": (frame_bytes(code, fin=False), PROTOCOL_ERROR) for code in (8, 9, 10)},
    "a continuation of nothing": (frame_bytes(CONTINUATION, b"{}"), PROTOCOL_ERROR),
    "an open continuation of nothing": (frame_bytes(CONTINUATION, b"{}", fin=False), PROTOCOL_ERROR),
    "a text inside of a fragmented one": (start() + frame_bytes(TEXT, b"}"), PROTOCOL_ERROR),
    "a binary message inside of a fragmented text": (start() + frame_bytes(BINARY, b"}"), PROTOCOL_ERROR),
    "a continuation behind the last one": (
        start() + frame_bytes(CONTINUATION, b"}") + frame_bytes(CONTINUATION, b"}"),
        PROTOCOL_ERROR,
    ),
    "a close of one byte": (frame_bytes(CLOSE, b"\x03"), PROTOCOL_ERROR),
    **{
        f"close code {code}": (close(code), PROTOCOL_ERROR)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "a reason that is not UTF-8": (close(1000, b"\xce\xba\xff"), NO_UTF8),
    "a text that is not UTF-8": (
        frame_bytes(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"),
        NO_UTF8,
    ),
    "an overlong text": (frame_bytes(TEXT, b"\xc0\xaf"), NO_UTF8),
    "a text that ends within a character": (frame_bytes(TEXT, b"\xce"), NO_UTF8),
    "a fragmented text that is not UTF-8": (start(b"\xce") + frame_bytes(CONTINUATION, b"\xff"), NO_UTF8),
    "a message that is too large in all": (
        start(bytes(40_000)) + frame_bytes(CONTINUATION, bytes(40_000), fin=False),
        TOO_BIG,
    ),
}

CLOSES = {
    "without a code": frame_bytes(CLOSE),
    "with a reason": close(1000, b"bye"),
    "with the longest reason": close(1000, b"x" * 123),
    **{
        f"code {code}": close(code)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
}


async def test_what_breaks_the_protocol_closes_the_socket_with_the_right_code(
    redis_url: str, redis_prefix: str
) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:

        async def answer(data: bytes) -> int:
            async with RawClient.connect(setup.api.port) as client:
                await client.send_bytes(data)
                frames = [frame async for frame in client.frames()]
                assert await client.frame() is None, "the end of the stream"
            opcode, payload = frames[-1]
            assert opcode == CLOSE
            return int.from_bytes(payload[:2], "big")

        found = {name: await answer(data) for name, (data, _) in VIOLATIONS.items()}
        assert found == {name: code for name, (_, code) in VIOLATIONS.items()}


async def test_a_close_is_answered_with_the_same_close_and_the_end(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        for name, data in CLOSES.items():
            async with RawClient.connect(setup.api.port) as client:
                await client.send_bytes(data + frame_bytes(PING, b"behind it"))
                frames = [frame async for frame in client.frames()]
                assert frames == [(CLOSE, data[6:])], name
                assert await client.frame() is None, name


async def test_a_message_may_come_in_fragments_with_pings_between_them(redis_url: str, redis_prefix: str) -> None:
    """Also where a character is cut in two, and where each byte comes alone."""
    text = json.dumps({"orderId": str(uuid4()), "é": "κόσμε"}, ensure_ascii=False).encode()
    pieces = [text[at : at + 1] for at in range(len(text))]
    frames = start(b"") + b"".join(frame_bytes(CONTINUATION, piece, fin=False) for piece in pieces)
    frames += frame_bytes(PING, b"between") + frame_bytes(PONG, b"unasked") + frame_bytes(CONTINUATION)
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        async with RawClient.connect(setup.api.port) as client:
            await client.send_bytes(frames)
            assert await client.frame() == (PONG, b"between")
            opcode, payload = await client.frame() or (0, b"")
            assert (opcode, json.loads(payload)["error"]["code"]) == (TEXT, "unknown-field")
        async with RawClient.connect(setup.api.port) as client:
            for byte in frame_bytes(TEXT, b"[]") + frame_bytes(PING, bytes(125)):
                await client.send_bytes(bytes([byte]))
            answers = dict([await client.frame() or (0, b""), await client.frame() or (0, b"")])
            assert json.loads(answers[TEXT])["error"]["code"] == "not-an-object"
            assert answers[PONG] == bytes(125)


@pytest.mark.parametrize(
    "frame",
    [frame_bytes(PONG), frame_bytes(PING), frame_bytes(CONTINUATION, fin=False), frame_bytes(PONG, bytes(125))],
    ids=["pongs", "pings", "empty-fragments", "long-pongs"],
)
async def test_every_frame_of_a_peer_is_counted_and_a_flood_is_closed(
    redis_url: str, redis_prefix: str, frame: bytes
) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_messages_per_second=1) as setup,
        RawClient.connect(setup.api.port) as client,
    ):
        await client.send_bytes(start() * (frame[0] == CONTINUATION) + frame * 13)
        frames = [frame async for frame in client.frames() if frame[0] != PONG]
        error, (opcode, payload) = frames
        assert json.loads(error[1])["error"]["code"] == "flooding"
        assert (opcode, payload[:2]) == (CLOSE, POLICY.to_bytes(2, "big"))


async def test_large_messages_cost_as_much_as_their_bytes(redis_url: str, redis_prefix: str) -> None:
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, socket_messages_per_second=3) as setup,
        RawClient.connect(setup.api.port) as client,
    ):
        await client.send(TEXT, b" " * 40_000)
        frames = [frame async for frame in client.frames()]
        assert json.loads(frames[0][1])["error"]["code"] == "flooding"


@pytest.mark.parametrize(
    "first", [frame_bytes(TEXT, b"{}", masked=False), frame_bytes(PONG) * 2_001], ids=["bad-frame", "flood"]
)
async def test_a_peer_that_floods_on_behind_the_close_is_cut(
    redis_url: str, redis_prefix: str, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flood(client: RawClient) -> None:
        while True:
            await client.send_bytes(frame_bytes(PONG) * 10_000)

    monkeypatch.setattr(websocket_connection, "CLOSE_SECONDS", 3_600)
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix) as setup,
        RawClient.connect(setup.api.port) as client,
    ):
        await client.send_bytes(first)
        with pytest.raises(OSError):
            await flood(client)


HANDSHAKE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def without(name: str) -> dict[str, str]:
    return {other: value for other, value in HANDSHAKE.items() if other != name}


HANDSHAKES: Mapping[str, tuple[dict[str, str], int]] = {
    "as it should be": (HANDSHAKE, 101),
    "in any case, among others": (HANDSHAKE | {"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"}, 101),
    "no Upgrade": (without("Upgrade"), 426),
    "another Upgrade beside it": (HANDSHAKE | {"Upgrade": "websocket, h2c"}, 426),
    "no Connection": (without("Connection"), 426),
    "another Connection": (HANDSHAKE | {"Connection": "keep-alive"}, 426),
    "no version": (without("Sec-WebSocket-Version"), 426),
    "an old version": (HANDSHAKE | {"Sec-WebSocket-Version": "8"}, 426),
    "two versions": (HANDSHAKE | {"Sec-WebSocket-Version": "13\r\nSec-WebSocket-Version: 8"}, 426),
    "no key": (without("Sec-WebSocket-Key"), 400),
    "a short key": (HANDSHAKE | {"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
    "a long key": (HANDSHAKE | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZSBpcyBsb25n"}, 400),
    "a key that is not base64": (HANDSHAKE | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ!!"}, 400),
    "two keys": (HANDSHAKE | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: x"}, 400),
}


async def test_a_handshake_is_checked_and_a_wrong_one_names_what_is_missing(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:

        async def ask(headers: dict[str, str], protocol: str = "HTTP/1.1") -> tuple[int, str]:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.api.port)
            lines = [f"GET {EXECUTE} {protocol}", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode()
            writer.close()
            return int(head.split()[1]), head

        for name, (headers, status) in HANDSHAKES.items():
            found, head = await ask(headers)
            assert found == status, name
            assert ("\r\nsec-websocket-version: 13\r\n" in head.lower()) is (status == 426)
        assert (await ask(HANDSHAKE, "HTTP/1.0"))[0] == 400
        refused = await ask(HANDSHAKE | {"Sec-WebSocket-Key": "secret-in-a-header"})
        assert "secret" not in refused[1]
