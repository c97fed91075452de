"""Looks up host names in threads of its own.

A name server that never answers holds a lookup for half a minute. The threads of the event loop are few, and the end
of the process waits for them, so lookups have threads of their own.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from dexexec.webhooks.addresses import Address, read_address

MOST_LOOKUPS = 64
"""At once. More fail: they are lookups of names whose servers do not answer."""


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def addresses(self, host: str) -> list[Address]:
        """Return all of them, the preferred ones first. Raises `OSError`."""


def look_up(host: str) -> list[Address]:
    """Resolve a name with the system. Blocks. Raises `OSError`."""
    found = []
    for _, _, _, _, place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
        address = read_address(str(place[0]))
        if address is None:
            raise OSError("the system's answer has an invalid address")
        if address not in found:
            found.append(address)
    return found


class SystemResolver:
    """Resolves names with the system; `lookup` blocks."""

    def __init__(self, lookup: Callable[[str], list[Address]] = look_up) -> None:
        self._lookup = lookup
        self._running: dict[str, asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str) -> list[Address]:
        """Return the addresses of a name, or the address itself. Raises `OSError`."""
        literal = read_address(host)
        if literal is not None:
            return [literal]
        # Tries of one name share a lookup, so that a name that is never found holds one thread.
        future = self._running.get(host)
        if future is None:
            if len(self._running) >= MOST_LOOKUPS:
                raise OSError("too many host names are being looked up")
            future = self._begin(host)
        return await asyncio.shield(future)

    def _begin(self, host: str) -> asyncio.Future[list[Address]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Address]] = loop.create_future()
        future.add_done_callback(lambda ended: self._end(host, ended))
        self._running[host] = future

        def finish(result: list[Address] | OSError) -> None:
            if isinstance(result, OSError):
                future.set_exception(result)
            else:
                future.set_result(result)

        def work() -> None:
            result: list[Address] | OSError
            try:
                result = self._lookup(host)
            except (OSError, UnicodeError) as error:
                result = OSError(str(error))
            try:
                loop.call_soon_threadsafe(finish, result)
            except RuntimeError:
                pass  # the loop has ended meanwhile

        # A daemon: the process does not wait for it.
        threading.Thread(target=work, name=f"lookup of {host}", daemon=True).start()
        return future

    def _end(self, host: str, future: asyncio.Future[list[Address]]) -> None:
        del self._running[host]
        if not future.cancelled():
            future.exception()  # it may be that no try waits for it any more
