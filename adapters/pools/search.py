"""Which pools a venue has for a pair: found on chain, remembered for a while.

The first quote of a pair pays for the search; those that come meanwhile share it. What is remembered is where pools are
and what never changes about them. What a price depends on is read for every quote.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from dexexec.domain.quote import SwapRequest
from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer, NoRoute, SolanaChain, Unsupported, VenueError
from dexexec_adapters.solana.addresses import address_bytes

KeyT = TypeVar("KeyT", bound=Hashable)
PoolT = TypeVar("PoolT")
MAX_ADDRESSES = 100
"""Accounts that a node shows in one answer."""
MAX_KEYS = 1_024
"""Pairs that are remembered: whoever asks for ever new ones may not fill the memory."""
SHOWN_REASONS = 3


@dataclass(frozen=True, slots=True)
class PoolKeys:
    """What never changes about a pool: addresses in base58, pairs of them for its first and its second token."""

    address: str
    mints: tuple[str, str]
    vaults: tuple[str, str]
    token_programs: tuple[str, str]

    def token_program(self, mint: str) -> str:
        """The token program of one of the pool's mints."""
        return self.token_programs[self.mints.index(mint)]


class Mints(NamedTuple):
    """Two mints as bytes, the smaller one first: what the pools of a pair are looked for by."""

    low: bytes
    high: bytes


class Pools(Generic[KeyT, PoolT]):
    """Pools by what they were asked for, at most `max_age` seconds old by the clock `now` (seconds, monotonic).

    `find` looks for them; what it raises goes to those who wait for it, and is not remembered.
    """

    def __init__(
        self, find: Callable[[KeyT], Awaitable[Sequence[PoolT]]], now: Callable[[], float], max_age: float
    ) -> None:
        self._find, self._now, self._max_age = find, now, max_age
        self._known: dict[KeyT, tuple[float, asyncio.Task[tuple[PoolT, ...]]]] = {}

    async def of(self, key: KeyT) -> tuple[PoolT, ...]:
        """The pools for `key`, none if there are none. Who stops waiting does not stop the search for others."""
        since, search = self._known.get(key, (0.0, None))
        if search is None or _failed(search) or (search.done() and self._now() - since >= self._max_age):
            search = self._begin(key)
        return await asyncio.shield(search)

    def forget(self, key: KeyT) -> None:
        """What is known for `key` has turned out wrong: the next one searches again."""
        _, search = self._known.get(key, (0.0, None))
        if search is not None and search.done():
            del self._known[key]

    async def aclose(self) -> None:
        """End searches that still run."""
        running = [search for _, search in self._known.values() if not search.done()]
        self._known.clear()
        for search in running:
            search.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, key: KeyT) -> asyncio.Task[tuple[PoolT, ...]]:
        self._known.pop(key, None)
        for old in [old for old, (_, search) in self._known.items() if search.done()]:
            if len(self._known) < MAX_KEYS:
                break
            del self._known[old]
        search = asyncio.create_task(self._search(key))
        search.add_done_callback(_failed)
        self._known[key] = self._now(), search
        return search

    async def _search(self, key: KeyT) -> tuple[PoolT, ...]:
        return tuple(await self._find(key))


async def discover(
    chain: SolanaChain, program: str, wanted: Sequence[AccountFilters], derived: Sequence[str]
) -> Mapping[str, Account]:
    """Accounts of `program` that suit one of `wanted`, by address. Where the search fails, those at the addresses
    `derived` alone, if they are the program's and suit. Raises `VenueError`: the search's own if nothing is
    derived."""
    try:
        answers = [await chain.program_accounts(program, filters) for filters in wanted]
    except VenueError:
        # Many nodes do not search, and each says so in its own way. One that is down says so again here.
        if not derived:
            raise
        there = await read(chain, derived)
        return {
            address: account
            for address, account in there.items()
            if account.owner == program and any(filters.suits(account) for filters in wanted)
        }
    return {address: account for answer in answers for address, account in answer.found.items()}


async def read(chain: SolanaChain, addresses: Sequence[str]) -> dict[str, Account]:
    """Those accounts that are there, in as few questions as nodes allow; not of one slot. Raises `VenueError`."""
    found: dict[str, Account] = {}
    for begin in range(0, len(addresses), MAX_ADDRESSES):
        part = addresses[begin : begin + MAX_ADDRESSES]
        answer = await chain.accounts(part)
        found |= {address: account for address, account in zip(part, answer.found, strict=True) if account is not None}
    return found


def mints_of(request: SwapRequest) -> Mints:
    """What to look for. Raises `Unsupported` for what is no pair of mints."""
    try:
        low, high = sorted(map(address_bytes, (request.mint_in, request.mint_out)))
    except ValueError as error:
        raise Unsupported(f"a mint is {error}") from error
    if low == high:
        raise Unsupported("a token is not swapped for itself")
    return Mints(low, high)


def together(refusals: Sequence[VenueError]) -> VenueError:
    """One error with the reasons of all; one that may pass, if there is any."""
    refusals = sorted(refusals, key=lambda one: (NoRoute, BadAnswer, Unsupported).index(type(one)))
    told = list(dict.fromkeys(map(str, refusals)))
    more = f"; and {len(told) - SHOWN_REASONS} more" if len(told) > SHOWN_REASONS else ""
    return type(refusals[0])("; ".join(told[:SHOWN_REASONS]) + more)


def _failed(search: asyncio.Task[tuple[PoolT, ...]]) -> bool:
    """Whether it ended with an error; an error that nobody waits for any more is no news."""
    return search.done() and (search.cancelled() or search.exception() is not None)
