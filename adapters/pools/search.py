"""Finds a venue's pools for a pair on chain, and caches them.

The first quote of a pair waits for the search, and quotes that come meanwhile share it. Only constant data is cached;
everything that a price depends on is read for every quote.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from dexexec.domain.quote import SwapRequest
from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer, NoRoute, SolanaChain, Unsupported, VenueError
from dexexec_adapters.solana.addresses import address_bytes

KeyT = TypeVar("KeyT", bound=Hashable)
PoolT = TypeVar("PoolT")
MAX_ADDRESSES = 100
"""Accounts that a node returns in one answer."""
MAX_CACHED_PAIRS = 1_024
"""A client that requests new pairs all the time must not fill the memory."""
NEW_MAX_AGE = 2.0
"""Seconds that the pools of a new pair, or an empty result, are cached at most: a pool may be launched at any time, and
a process that does not watch the pair must find it too."""
SHOWN_REASONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKeys:
    """The constant addresses of a pool (base58). Pairs are in the order of its first and second token."""

    address: str
    mints: tuple[str, str]
    vaults: tuple[str, str]
    token_programs: tuple[str, str]

    @property
    def written(self) -> tuple[str, ...]:
        """What a swap writes to."""
        return (self.address, *self.vaults)

    def token_program(self, mint: str) -> str:
        """The token program of one of the pool's mints."""
        return self.token_programs[self.mints.index(mint)]


class PoolState(Protocol):
    """A parsed pool account."""

    @property
    def keys(self) -> Any:
        """Its constant addresses, in the venue's kind of `PoolKeys`."""

    @property
    def depth(self) -> int:
        """Its liquidity, in a unit that is only compared among pools of one pair and venue."""


class Mints(NamedTuple):
    """The two mints of a pair as bytes, the smaller one first, so that both directions share one search."""

    low: bytes
    high: bytes


class PoolCache(Generic[KeyT, PoolT]):
    """Search results by key, at most `max_age` seconds old by the monotonic clock `now` (seconds). `is_new` are keys
    whose pools may change at any time, unless they are `followed`: then a change starts a new search.

    `find` searches. Its errors are raised to everyone who waits for the search, and are not cached.
    """

    def __init__(
        self,
        find: Callable[[KeyT], Awaitable[Sequence[PoolT]]],
        now: Callable[[], float],
        max_age: float,
        is_new: Callable[[KeyT], bool] = lambda _: False,
        followed: Callable[[KeyT], bool] = lambda _: False,
    ) -> None:
        self._is_new = is_new
        self._followed = followed
        self._find = find
        self._now = now
        self._max_age = max_age
        self._searches: dict[KeyT, tuple[float, asyncio.Task[tuple[PoolT, ...]]]] = {}

    async def get(self, key: KeyT) -> tuple[PoolT, ...]:
        """The pools for `key`, from the cache or from a search."""
        search = self._searches[key][1] if self.has(key) or self._is_running(key) else self._begin(key)
        # Shielded: an order whose deadline passes must not cancel the search that others wait for.
        return await asyncio.shield(search)

    def has(self, key: KeyT) -> bool:
        """Whether the pools for `key` are cached: then `get` waits for nothing."""
        since, search = self._searches.get(key, (0.0, None))
        return (
            search is not None
            and search.done()
            and not _failed(search)
            and not self._is_old(key, since, search.result())
        )

    def forget(self, key: KeyT) -> None:
        """Drop the cached pools of `key`, because they turned out to be wrong. The next call searches again."""
        _, search = self._searches.get(key, (0.0, None))
        if search is not None and search.done():
            del self._searches[key]

    def known(self, key: KeyT | None = None) -> list[PoolT]:
        """All pools that searches have found and that are still cached; with `key` only those of that search."""
        return [
            pool
            for searched, (_, search) in self._searches.items()
            if search.done() and not _failed(search) and key in (None, searched)
            for pool in search.result()
        ]

    def age(self, key: KeyT) -> float:
        """Seconds since the last search for `key` began; infinite without one."""
        return self._now() - self._searches[key][0] if key in self._searches else math.inf

    async def refresh(self, key: KeyT) -> bool:
        """Search again while the cached pools are still used, and return whether that worked. If not, they stay, up to
        their age."""
        since = self._now()
        search = asyncio.create_task(self._search(key))
        try:
            await asyncio.wait([search])
        finally:
            search.cancel()
        if _failed(search):
            return False
        self._searches.pop(key, None)
        self._searches[key] = since, search
        return True

    async def aclose(self) -> None:
        """Cancel running searches."""
        running = [search for _, search in self._searches.values() if not search.done()]
        self._searches.clear()
        for search in running:
            search.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _is_running(self, key: KeyT) -> bool:
        return key in self._searches and not self._searches[key][1].done()

    def _is_old(self, key: KeyT, since: float, pools: tuple[PoolT, ...]) -> bool:
        may_change = (not pools or self._is_new(key)) and not self._followed(key)
        max_age = min(self._max_age, NEW_MAX_AGE) if may_change else self._max_age
        return self._now() - since >= max_age

    def _begin(self, key: KeyT) -> asyncio.Task[tuple[PoolT, ...]]:
        self._searches.pop(key, None)
        # A dict keeps the order of insertion, so the oldest finished searches are dropped first.
        for oldest in [cached for cached, (_, search) in self._searches.items() if search.done()]:
            if len(self._searches) < MAX_CACHED_PAIRS:
                break
            del self._searches[oldest]
        search = asyncio.create_task(self._search(key))
        # Retrieves an exception, or asyncio would log it when nothing waits for the search any more.
        search.add_done_callback(_failed)
        self._searches[key] = self._now(), search
        return search

    async def _search(self, key: KeyT) -> tuple[PoolT, ...]:
        return tuple(await self._find(key))


async def discover(
    chain: SolanaChain, program: str, wanted: Sequence[AccountFilters], derived: Sequence[str]
) -> Mapping[str, Account]:
    """The accounts of `program` that match one of the filters `wanted`, by address.

    If the search fails, only the matching accounts at the addresses `derived` are returned. Raises `VenueError`.
    """
    try:
        answers = await asyncio.gather(*(chain.program_accounts(program, filters) for filters in wanted))
    except VenueError:
        # Many nodes cannot search, and each has its own error for it. If the node is down, `read_existing` fails too.
        if not derived:
            raise
        candidates = await read_existing(chain, derived)
        return {
            address: account
            for address, account in candidates.items()
            if account.owner == program and any(filters.suits(account) for filters in wanted)
        }
    return {address: account for answer in answers for address, account in answer.found.items()}


async def read_existing(chain: SolanaChain, addresses: Sequence[str]) -> dict[str, Account]:
    """The accounts that exist, by address, in as few requests as possible. They may be of different slots.

    Raises `VenueError`.
    """
    existing: dict[str, Account] = {}
    for begin in range(0, len(addresses), MAX_ADDRESSES):
        part = addresses[begin : begin + MAX_ADDRESSES]
        answer = await chain.accounts(part)
        existing |= {
            address: account for address, account in zip(part, answer.found, strict=True) if account is not None
        }
    return existing


def mints_of(request: SwapRequest) -> Mints:
    """The pair of a request. Raises `Unsupported` for invalid mints."""
    return sorted_mints((request.mint_in, request.mint_out))


def sorted_mints(pair: tuple[str, str]) -> Mints:
    """Two mints in the order of their bytes. Raises `Unsupported` for invalid mints."""
    try:
        low, high = sorted(map(address_bytes, pair))
    except ValueError as error:
        raise Unsupported(f"a mint is {error}") from error
    if low == high:
        raise Unsupported("a token cannot be swapped for itself")
    return Mints(low, high)


def combined(refusals: Sequence[VenueError]) -> VenueError:
    """One error with the reasons of all."""
    # A retryable kind wins: if one pool may be able to swap later, the venue may be.
    refusals = sorted(refusals, key=lambda refusal: (NoRoute, BadAnswer, Unsupported).index(type(refusal)))
    reasons = list(dict.fromkeys(map(str, refusals)))
    more = f"; and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
    return type(refusals[0])("; ".join(reasons[:SHOWN_REASONS]) + more)


def _failed(search: asyncio.Task[tuple[PoolT, ...]]) -> bool:
    """Whether the search ended with an error."""
    return search.done() and (search.cancelled() or search.exception() is not None)
