"""The pools that a mock venue launches: their reserves, and the reports of them.

On the simulated chain a launched pool follows the market's price from its launch to the end of its period. On a
localnet it is a pair of vaults, funded at the first launch, and the token's rules are those that the faucet gave it.
"""

from collections.abc import AsyncGenerator
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from dexexec.domain import base58
from dexexec.domain.launch import NewPool, PoolToken
from dexexec.venue import NoRoute, VenueContext
from dexexec_adapters.mock.launches import Launch, LaunchSchedule
from dexexec_adapters.mock.market import STEP_MS, Market, Pair, at_price, depth

if TYPE_CHECKING:
    from dexexec_adapters.mock.vaults import Vaults

SLOT_MS = 400


class LaunchedPools:
    """The launched pools of the venue `name`. `vaults` hold their balances on a localnet."""

    def __init__(
        self, name: str, schedule: LaunchSchedule, market: Market, vaults: "Vaults | None", context: VenueContext[Any]
    ) -> None:
        self._name = name
        self._schedule = schedule
        self._market = market
        self._vaults = vaults
        self._context = context

    def launch(self, pair: Pair, now_ms: int) -> Launch | None:
        """The pair's launch in the present period; None for a pair that always has a pool."""
        mints = [token.mint for token in (pair.base, pair.quote) if self._schedule.launches(token.mint)]
        launches = [self._schedule.at(mint, now_ms) for mint in mints]
        return max(launches, key=lambda launch: launch.opens_at_ms, default=None)

    def reserves(self, pair: Pair, launch: Launch, now_ms: int) -> tuple[int, int]:
        """The reserves of a simulated pool (base, quote) at the market's price. Raises `NoRoute`."""
        base, quote = at_price(depth(pair, launch.dollars), self._market.price(pair, now_ms // STEP_MS))
        if not base or not quote:
            raise NoRoute("the units of these tokens are too far apart for a pool")
        return base, quote

    def follow(self, mints: tuple[str, str]) -> AsyncGenerator[NewPool, None] | None:
        """As `Venue.watch_pools`."""
        return self._follow(self._market.pair(mints)) if any(map(self._schedule.launches, mints)) else None

    async def _follow(self, pair: Pair) -> AsyncGenerator[NewPool, None]:
        clock = self._context.clock
        reported: NewPool | None = None
        while True:
            now_ms = clock.unix_ms()
            launch = self.launch(pair, now_ms)
            # Prices change with each step of the market, and with it the reserves.
            wait_ms = STEP_MS - now_ms % STEP_MS
            if launch is not None and now_ms < launch.opens_at_ms:
                wait_ms = min(wait_ms, launch.opens_at_ms - now_ms)
            elif launch is not None:
                pool = await self._read(pair, launch, now_ms)
                if reported is None or replace(reported, slot=pool.slot) != pool:
                    reported = pool
                    yield pool
            await clock.sleep(wait_ms / 1000)

    async def _read(self, pair: Pair, launch: Launch, now_ms: int) -> NewPool:
        """The launched pool as it is now. Raises the node's errors on a localnet."""
        first: PoolToken
        second: PoolToken
        if self._vaults is None:
            address = pool_address(self._name, pair, launch)
            slot = now_ms // SLOT_MS
            sides = zip((pair.base, pair.quote), self.reserves(pair, launch, now_ms), strict=True)
            first, second = (
                PoolToken(
                    mint=token.mint,
                    decimals=token.decimals,
                    reserve=reserve,
                    **(launch.rules() if self._schedule.launches(token.mint) else {}),
                )
                for token, reserve in sides
            )
        else:
            pool = self._vaults.pool(pair)
            held = await self._vaults.balances(pool, depth(pair, launch.dollars))
            address = pool.address
            slot = held.slot
            base_rules = await self._vaults.mint_rules(pair.base)
            quote_rules = await self._vaults.mint_rules(pair.quote)
            first = PoolToken(mint=pair.base.mint, reserve=held.base, **base_rules._asdict())
            second = PoolToken(mint=pair.quote.mint, reserve=held.quote, **quote_rules._asdict())
        return NewPool(
            venue=self._name, address=address, tokens=(first, second), slot=slot, launched_at_ms=launch.opens_at_ms
        )


def pool_address(venue: str, pair: Pair, launch: Launch | None = None) -> str:
    """A name for a simulated pool, or for that of a launch, that looks like an account's address."""
    key = f"{venue}:{pair.base.mint}:{pair.quote.mint}"
    if launch is not None:
        key += f":{launch.number}"
    return base58.encode(blake2b(key.encode(), digest_size=32).digest())
