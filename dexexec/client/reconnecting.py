"""The next socket of a stream: after its pause, and not once the stream is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from dexexec.client.errors import NoAnswerError
from dexexec.client.problems import ProblemError
from dexexec.client.resume import Resumption
from dexexec.client.socket import Socket


async def next_socket(
    opener: Callable[[], Awaitable[Socket]], state: Resumption, closing: asyncio.Event
) -> Socket | None:
    """Open a socket when `state` allows the next try; None without one: `state` then has the time of another try, or
    `closing` is set. Raises `ClientError` when it is given up."""
    loop = asyncio.get_running_loop()
    # The time is kept over a cancelled call, which would otherwise begin the pause anew each time.
    with suppress(TimeoutError):
        async with asyncio.timeout_at(state.retry_at):
            await closing.wait()
            return None
    try:
        socket = await opener()
    # Refusals and lost connections set the time of the next try, or raise what ends the stream.
    except ProblemError as problem:
        state.refused(loop.time(), problem)
        return None
    except NoAnswerError as error:
        state.lost(loop.time(), error)
        return None
    # Closed by another task while this one was connecting.
    if closing.is_set():
        await socket.close()
        return None
    state.connected(loop.time())
    return socket
