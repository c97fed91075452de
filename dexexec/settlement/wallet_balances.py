"""The wallets of whose balances orders may spend a share: those on the one network with balances that venues use."""

from collections.abc import Iterable

from dexexec.domain.balance import SpendableBalance
from dexexec.settlement.settlement import Settlement
from dexexec.venue import AnyVenue, Network, Unsupported


class WalletBalances:
    """Reads balances for orders that `venues` execute."""

    def __init__(self, settlement: Settlement, venues: Iterable[AnyVenue]) -> None:
        self._settlement = settlement
        self._venues = list(venues)

    async def spendable(self, mint: str, wallet: str | None) -> SpendableBalance:
        """Returns what a wallet (None: the default one) can spend of `mint` now. Raises `VenueError`, as `network`
        does, and `SignerError` if there is no wallet of that name."""
        return await self._settlement.spendable(self.network(), mint, wallet)

    def network(self) -> str:
        """Returns the network whose wallets count. Raises `Unsupported` unless the venues leave one choice."""
        networks = {venue.capabilities.network for venue in self._venues}
        with_balances = sorted(networks - {Network.SIMULATED})
        if len(with_balances) > 1:
            raise Unsupported(
                f"the enabled venues settle on {' and '.join(with_balances)}, whose wallets have different balances:"
                " give a fixed amount"
            )
        # Without any, reading the balance is refused with the reason.
        return with_balances[0] if with_balances else Network.SIMULATED
