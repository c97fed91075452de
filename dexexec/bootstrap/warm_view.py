"""What this process keeps in memory of its venues' pools and chains, for `GET /api/venues`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dexexec.observe.observer import Observer
from dexexec.venue import AnyVenue

if TYPE_CHECKING:
    from dexexec.settlement.solana.warm.account_watch import AccountWatch
    from dexexec.settlement.solana.warm.report import WarmPool, WarmReport


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmView:
    """The venues by name, and the watched accounts by network: none on a chain that is not watched."""

    venues: Mapping[str, AnyVenue] = field(default_factory=dict)
    watches: Mapping[str, "AccountWatch"] = field(default_factory=dict)
    observer: Observer

    def pools(self, name: str) -> "Sequence[WarmPool]":
        """The known pools of a venue; none if its chain is not watched."""
        venue = self.venues.get(name)
        watch = self.watches.get(venue.capabilities.network) if venue else None
        if venue is None or watch is None:
            return ()
        try:
            accounts = venue.pool_accounts()
        except Exception as error:  # noqa: BLE001 - a faulty adapter must not hide the state of the others
            self.observer.venue_not_warmed(name, f"{type(error).__name__}: {error}")
            return ()
        # Computed for each answer, so that it costs nothing between them.
        return [watch.pool(address, group) for address, group in accounts.items()]

    def chains(self) -> "Mapping[str, WarmReport]":
        """The watched state of each chain, by network."""
        return {network: watch.report() for network, watch in self.watches.items()}
