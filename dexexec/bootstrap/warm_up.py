"""Warms the configured pair and the wallets in the background, so that the first order finds them in memory."""

import asyncio
from collections.abc import Iterable

from dexexec.bootstrap.networks import Networks
from dexexec.clock import Clock
from dexexec.observe.observer import Observer
from dexexec.settlement.rehearsal import Rehearsal
from dexexec.venue import AnyVenue, VenueError

AGAIN_SECONDS = 60.0
"""Between two rounds: a pool may be new, and a node may not have answered."""


class WarmUp:
    """Warms `venues` for `pair` with a `rehearsal` of its swaps, and keeps the accounts of the wallets of `networks` in
    memory."""

    def __init__(
        self,
        venues: Iterable[AnyVenue],
        networks: Networks,
        *,
        pair: tuple[str, str],
        rehearsal: Rehearsal,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._venues = list(venues)
        self._networks = networks
        self._pair = pair
        self._rehearsal = rehearsal
        self._clock = clock
        self._observer = observer
        self._failed: set[str] = set()

    async def run(self) -> None:
        """Warm again and again, until cancelled."""
        for network, watch in self._networks.watches.items():
            watch.pin("wallets", self._wallet_accounts(network))
        while True:
            # At the same time: each waits for slots and for its nodes, and a slow one delays no other.
            await asyncio.gather(*map(self._warm, self._venues))
            await self._clock.sleep(AGAIN_SECONDS)

    def _wallet_accounts(self, network: str) -> list[str]:
        """The wallets on a network, each with its token accounts for the pair."""
        # Imported here: only networks with real transactions need Solana's libraries.
        from dexexec.settlement.solana.message import TOKEN_PROGRAMS  # noqa: PLC0415
        from dexexec.settlement.solana.transaction import associated_token_account  # noqa: PLC0415

        groups = (self._networks.wallets, *(named.wallets for named in self._networks.named.values()))
        wallets = [addresses[network] for addresses in groups if network in addresses]
        tokens = [(mint, program) for mint in self._pair for program in sorted(TOKEN_PROGRAMS)]
        return [
            address
            for wallet in wallets
            for address in (wallet, *(associated_token_account(wallet, mint, program) for mint, program in tokens))
        ]

    async def _warm(self, venue: AnyVenue) -> None:
        watch = self._networks.watches.get(venue.capabilities.network)
        if watch is None:
            return
        try:
            await venue.warm(self._pair)
            # Of this pair only: pools of orders must leave again, or they would fill the memory for good.
            accounts = [address for group in venue.pool_accounts(self._pair).values() for address in group]
            watch.pin(f"pools of {venue.name}", accounts)
            await self._rehearsal.rehearse(venue, self._pair)
        except VenueError as error:
            # Once, until it succeeds: a venue without a pool of the pair fails each time.
            if venue.name not in self._failed:
                self._failed.add(venue.name)
                self._observer.venue_not_warmed(venue.name, str(error))
            return
        except Exception as error:  # noqa: BLE001 - an adapter's bug must cost only the first order's time
            self._observer.venue_not_warmed(venue.name, f"{type(error).__name__}: {error}")
            return
        self._failed.discard(venue.name)
