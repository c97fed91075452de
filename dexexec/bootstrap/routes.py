"""Adds swaps over several pools to the venues, if the settings allow them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from dexexec.clock import Clock
from dexexec.config.settings import Settings
from dexexec.domain.depth import DeepVenue
from dexexec.errors import AdapterLoadError
from dexexec.settlement.solana.message import priority_fee
from dexexec.venue import AnyVenue, NoOptions, VenueContext
from dexexec.venues.router import no_quarantine
from dexexec.venues.routes.venue import Fits, Hops, RouteRules, Split

LEG_UNITS = 120_000
"""Compute units of one more pool, about what the dearest of the programs takes for a swap of middle size."""


def with_routes(
    venues: Sequence[AnyVenue],
    settings: Settings,
    clock: Clock,
    quarantine: Callable[[str], str] = no_quarantine,
    fits: Mapping[str, Fits] = MappingProxyType({}),
) -> list[AnyVenue]:
    """The venues, and behind them those that combine pools, if some of one network show the depth of theirs.

    `quarantine` returns why a venue gets no orders, and `fits` by network whether a swap fits into a transaction
    (where it is not known: always). Raises `AdapterLoadError` for an adapter with the name of one of
    these.
    """
    if taken := sorted({venue.name for venue in venues} & {Split.name, Hops.name}):
        raise AdapterLoadError(f"an adapter has the name {taken[0]!r}, which is the engine's own: rename it")
    deep = [venue for venue in venues if isinstance(venue, DeepVenue)]
    if settings.routes == "single" or not deep:
        return [*venues]
    network = deep[0].capabilities.network
    combined = [venue for venue in deep if venue.capabilities.network == network]
    first = combined[0].context
    rules = RouteRules(
        hop_mints=settings.hop_mints,
        hop_tolerance_bps=settings.hop_tolerance_bps,
        leg_lamports=priority_fee(LEG_UNITS, settings.max_compute_price),
    )
    context = VenueContext(clock, first.tokens, first.chain, NoOptions(), first.cluster)
    fit = fits.get(network)
    return [*venues, *(kind(context, combined, rules, quarantine, fit) for kind in (Split, Hops))]
