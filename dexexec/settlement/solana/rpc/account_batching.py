"""Accounts that several ask for at once are read by one request, and each gets all of its own from that one answer.

Nobody waits for others to come: what is asked for in the same moment goes together, and what comes while a few
requests are on their way (or wait for the budget) is gathered for the next.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from dexexec.domain.solana import Accounts
from dexexec.settlement.solana.rpc.methods import MAX_ACCOUNTS
from dexexec.settlement.solana.rpc.node import NodeRefusedError

AT_ONCE = 4
"""Requests on their way at the same time."""


@dataclass(frozen=True, slots=True)
class _Reader:
    addresses: tuple[str, ...]
    answer: asyncio.Future[Accounts]


class AccountBatcher:
    """`read` asks for addresses, at most `MAX_ACCOUNTS` of them."""

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Accounts]]) -> None:
        self._read = read
        self._waiting: deque[_Reader] = deque()
        self._requests: set[asyncio.Task[None]] = set()

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """The accounts, from one answer. Raises what `read` raises."""
        if len(addresses) > MAX_ACCOUNTS:
            return await self._read(addresses)  # a node says what is wrong with that
        reader = _Reader(tuple(addresses), asyncio.get_running_loop().create_future())
        self._waiting.append(reader)
        if len(self._requests) < AT_ONCE:
            self._requests.add(asyncio.create_task(self._work()))
        return await reader.answer

    async def aclose(self) -> None:
        """Ask no more. Who waits is cancelled."""
        requests = list(self._requests)
        for task in requests:
            task.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        for reader in self._waiting:
            reader.answer.cancel()

    async def _work(self) -> None:
        try:
            await asyncio.sleep(0)  # all that is asked for in this moment
            while readers := self._next():
                try:
                    await self._together(readers)
                finally:
                    for reader in readers:
                        reader.answer.cancel()  # of no effect where there is an answer
        finally:
            # Here and not by a callback, which would come after somebody who counts on this task.
            self._requests.discard(asyncio.current_task())

    def _next(self) -> list[_Reader]:
        """Those who came first and whose addresses fit into one request."""
        readers: list[_Reader] = []
        wanted: set[str] = set()
        while self._waiting and len(wanted.union(self._waiting[0].addresses)) <= MAX_ACCOUNTS:
            reader = self._waiting.popleft()
            if not reader.answer.done():  # else it was given up
                readers.append(reader)
                wanted.update(reader.addresses)
        return readers

    async def _together(self, readers: Sequence[_Reader]) -> None:
        try:
            found = await self._asked(readers)
        except NodeRefusedError as error:
            if len(readers) == 1:
                _fail(readers, error)
                return
            for reader in readers:  # one that is wrong fails alone
                await self._together([reader])
        except Exception as error:  # noqa: BLE001 - every reader gets it; none may be left waiting
            _fail(readers, error)
        else:
            for reader in readers:
                if not reader.answer.done():
                    reader.answer.set_result(found(reader.addresses))

    async def _asked(self, readers: Sequence[_Reader]) -> Callable[[Sequence[str]], Accounts]:
        if len(readers) == 1:
            whole = await self._read(readers[0].addresses)
            return lambda _: whole
        addresses = list(dict.fromkeys(address for reader in readers for address in reader.addresses))
        answer = await self._read(addresses)
        by_address = dict(zip(addresses, answer.found, strict=True))
        return lambda wanted: Accounts(answer.slot, tuple(by_address[address] for address in wanted))


def _fail(readers: Sequence[_Reader], error: Exception) -> None:
    for reader in readers:
        if not reader.answer.done():
            reader.answer.set_exception(error)
