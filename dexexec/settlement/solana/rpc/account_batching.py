"""Batches account reads: concurrent reads share one request, and each gets all its accounts from that one answer.

Reads that start in the same moment go together. Reads that start while the allowed requests are running are collected
for the next one; there is no timer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from dexexec.domain.solana import Accounts
from dexexec.settlement.solana.rpc.methods import MAX_ACCOUNTS
from dexexec.settlement.solana.rpc.node_errors import NodeRefusedError

MAX_CONCURRENT_REQUESTS = 4


@dataclass(frozen=True, slots=True)
class _PendingRead:
    addresses: tuple[str, ...]
    result: asyncio.Future[Accounts]


class AccountBatcher:
    """Combines reads into calls of `fetch`, which reads at most `MAX_ACCOUNTS` addresses."""

    def __init__(self, fetch: Callable[[Sequence[str]], Awaitable[Accounts]]) -> None:
        self._fetch = fetch
        self._pending: deque[_PendingRead] = deque()
        self._requests: set[asyncio.Task[None]] = set()

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """The accounts, from one answer. Raises what `fetch` raises."""
        if len(addresses) > MAX_ACCOUNTS:
            return await self._fetch(addresses)  # the node's refusal explains the limit
        read = _PendingRead(tuple(addresses), asyncio.get_running_loop().create_future())
        self._pending.append(read)
        if len(self._requests) < MAX_CONCURRENT_REQUESTS:
            self._requests.add(asyncio.create_task(self._run_requests()))
        return await read.result

    async def aclose(self) -> None:
        """Cancels all requests and all waiting reads."""
        requests = list(self._requests)
        for task in requests:
            task.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        for read in self._pending:
            read.result.cancel()

    async def _run_requests(self) -> None:
        """Sends requests until no read is pending."""
        try:
            await asyncio.sleep(0)  # lets all reads of this moment join the first request
            while batch := self._next_batch():
                try:
                    await self._send(batch)
                finally:
                    for read in batch:
                        read.result.cancel()  # has no effect on a read that has its result
        finally:
            # Not in a done callback: that runs later, and a new read would still count this task as running.
            self._requests.discard(asyncio.current_task())

    def _next_batch(self) -> list[_PendingRead]:
        """The oldest reads whose addresses fit into one request."""
        batch: list[_PendingRead] = []
        addresses: set[str] = set()
        while self._pending and len(addresses.union(self._pending[0].addresses)) <= MAX_ACCOUNTS:
            read = self._pending.popleft()
            if not read.result.done():  # done here means cancelled by its caller
                batch.append(read)
                addresses.update(read.addresses)
        return batch

    async def _send(self, batch: Sequence[_PendingRead]) -> None:
        try:
            accounts_for = await self._fetch_together(batch)
        except NodeRefusedError as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # One malformed address makes the node refuse all: sent one by one, only that read fails.
            for read in batch:
                await self._send([read])
        except Exception as error:  # noqa: BLE001 - goes to every read; otherwise they would wait forever
            _fail(batch, error)
        else:
            for read in batch:
                if not read.result.done():
                    read.result.set_result(accounts_for(read.addresses))

    async def _fetch_together(self, batch: Sequence[_PendingRead]) -> Callable[[Sequence[str]], Accounts]:
        """Fetches the batch. Returns a function from addresses to their accounts."""
        if len(batch) == 1:
            only = await self._fetch(batch[0].addresses)
            return lambda _: only
        unique = list(dict.fromkeys(address for read in batch for address in read.addresses))
        answer = await self._fetch(unique)
        by_address = dict(zip(unique, answer.found, strict=True))
        return lambda addresses: Accounts(answer.slot, tuple(by_address[address] for address in addresses))


def _fail(batch: Sequence[_PendingRead], error: Exception) -> None:
    for read in batch:
        if not read.result.done():
            read.result.set_exception(error)
