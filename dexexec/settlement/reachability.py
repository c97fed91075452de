"""Whether the chains can be reached on which swaps settle, asked now and then as the build of an order asks.

The worker tells it with each renewal of its lease, so that `/readyz` of every process knows (`dexexec.store.leases`).
"""

from collections.abc import Iterable, Mapping

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.venue import AnyVenue, Chain, VenueError

LOOK_SECONDS = 10.0
"""Between two looks: a node has other things to do."""


class Reachability:
    """Of the networks that `venues` settle on."""

    def __init__(self, venues: Iterable[AnyVenue], chains: Mapping[str, Chain], clock: Clock) -> None:
        networks = {venue.capabilities.network for venue in venues}
        self._chains = {network: chains[network] for network in sorted(networks) if network in chains}
        self._clock = clock
        self._trouble = ""

    def trouble(self) -> str:
        """Why no order can be executed now: no network can be reached. Empty where one can."""
        return self._trouble

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            away = [network for network, chain in self._chains.items() if not await _answers(chain)]
            everything = away and len(away) == len(self._chains)
            self._trouble = f"no node of {' or '.join(away)} answers as it has to" if everything else ""
            raise_if_cancelled()
            await self._clock.sleep(LOOK_SECONDS)


async def _answers(chain: Chain) -> bool:
    try:
        await chain.blockhash()
    except VenueError:
        return False
    return True
