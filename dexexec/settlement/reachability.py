"""Checks from time to time whether the chains can be reached, with the request that every build of a swap makes.

The worker stores the result with each heartbeat, and `/readyz` of every process reads it (`dexexec.store.leases`).
"""

from collections.abc import Iterable, Mapping

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.venue import AnyVenue, Chain, VenueError

CHECK_SECONDS = 10.0
"""Seconds between two checks, so that they add little load to the nodes."""


class Reachability:
    """Checks the networks that `venues` settle on."""

    def __init__(self, venues: Iterable[AnyVenue], chains: Mapping[str, Chain], clock: Clock) -> None:
        networks = {venue.capabilities.network for venue in venues}
        self._chains = {network: chains[network] for network in sorted(networks) if network in chains}
        self._clock = clock
        self._trouble = ""

    def trouble(self) -> str:
        """Returns why no order can be executed now; an empty string if at least one network can be reached."""
        return self._trouble

    async def run(self) -> None:
        """Checks until cancelled."""
        while True:
            away = [network for network, chain in self._chains.items() if not await _answers(chain)]
            # One reachable network is enough: orders on its venues can still be executed.
            all_away = away and len(away) == len(self._chains)
            self._trouble = f"no node of {' or '.join(away)} gives a usable answer" if all_away else ""
            raise_if_cancelled()
            await self._clock.sleep(CHECK_SECONDS)


async def _answers(chain: Chain) -> bool:
    try:
        await chain.blockhash()
    except VenueError:
        return False
    return True
