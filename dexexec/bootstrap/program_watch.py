"""Watches the programs of the worker's venues: an upgrade quarantines the venue until its quotes are confirmed."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from dexexec.bootstrap.background import Background
from dexexec.bootstrap.networks import Networks
from dexexec.bootstrap.shared import Shared, at_start
from dexexec.errors import UnavailableError
from dexexec.settlement.quarantine_lift import QuarantineLift
from dexexec.settlement.quote_proof import QuoteProof
from dexexec.settlement.solana.warm.deployment_watch import DeploymentWatch
from dexexec.settlement.solana.warm.program_library import ProgramNodes
from dexexec.store import ProgramVersions
from dexexec.venue import AnyVenue, VenueError

FIRST_LOOK_SECONDS = 10.0
"""How long the start waits for the first look, so that an upgrade of before is known to the first order."""


async def watch_programs(shared: Shared, venues: Iterable[AnyVenue], networks: Networks) -> list[Background]:
    """Look at the programs once, and return what goes on watching them. Raises `UnreachableError`."""
    settings = shared.settings
    by_name = {venue.name: venue for venue in venues if venue.programs}
    record = ProgramVersions(shared.database)
    background: list[Background] = []
    for network, genesis in networks.genesis.items():
        programs = {name: venue.programs for name, venue in by_name.items() if venue.capabilities.network == network}
        nodes = networks.nodes[network]
        if programs and isinstance(nodes, ProgramNodes):
            watch = DeploymentWatch(programs, nodes, record, shared.clock, observer=shared.observer, genesis=genesis)
            # Without an answer the watch goes on in the background: nodes may be away at the start.
            with suppress(VenueError, UnavailableError, TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_SECONDS):
                    await watch.look()
            background.append(watch.run)
    shared.quarantines.restrict_to(networks.genesis.values())
    await at_start(shared.quarantines.look())
    if background:
        proof = QuoteProof(
            networks.chains,
            networks.simulators,
            settings.token_list(),
            shared.clock,
            slippage_bps=settings.slippage_bps,
        )
        lift = QuarantineLift(
            shared.quarantines,
            by_name,
            proof,
            record,
            shared.clock,
            observer=shared.observer,
            pair=settings.default_pair(),
        )
        background.append(lift.run)
    return background
