"""The next socket of a stream."""

import asyncio

from dexexec.client.reconnecting import next_socket
from dexexec.client.resume import Resumption
from dexexec.client.socket import Socket


class OpenedSocket(Socket):
    """A socket that records whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def test_a_socket_that_opens_after_the_stream_was_closed_is_closed_too() -> None:
    closing, socket = asyncio.Event(), OpenedSocket()

    async def opener() -> Socket:
        closing.set()
        return socket

    assert await next_socket(opener, Resumption(random=lambda: 0.0, outage_seconds=None), closing) is None
    assert socket.closed


async def test_a_closed_stream_opens_no_socket() -> None:
    closing = asyncio.Event()
    closing.set()

    async def opener() -> Socket:
        raise AssertionError("it connects")

    state = Resumption(random=lambda: 0.0, outage_seconds=None, retry_at=asyncio.get_running_loop().time() + 3_600)
    assert await next_socket(opener, state, closing) is None
