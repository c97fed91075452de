"""Prepares the enabled venues at the start, and closes them at the end."""

import asyncio
from collections.abc import Collection, Iterable

from dexexec.bootstrap.clusters import startup_error
from dexexec.concurrency.cancellation import CANCEL_SECONDS
from dexexec.config.settings import Settings
from dexexec.errors import AdapterLoadError, UnreachableError
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.reference import AnyReference
from dexexec.venue import AnyVenue, Network, VenueError
from dexexec.venues import registry

PREPARE_SECONDS = 30.0
"""How long a venue may take to prepare."""


async def prepare_venues(venues: Iterable[AnyVenue]) -> None:
    """Let each venue check that everything it needs is available. Raises `StartupError`."""
    for venue in venues:
        await prepare(venue)


async def prepare(adapter: AnyVenue | AnyReference) -> None:
    """Let an adapter check that everything it needs is available. Raises `StartupError`."""
    try:
        async with asyncio.timeout(PREPARE_SECONDS):
            await adapter.prepare()
    except VenueError as error:
        raise startup_error(error)(f"{adapter.name}: {clean(error)}") from error
    except TimeoutError:
        raise UnreachableError(f"{adapter.name}: was not ready within {PREPARE_SECONDS:g} s") from None


async def close_venues(venues: Iterable[AnyVenue], observer: Observer) -> None:
    """Close each venue. A venue that fails to close does not stop the others."""
    for venue in venues:
        await close(venue, observer)


async def close(adapter: AnyVenue | AnyReference, observer: Observer) -> None:
    """Close an adapter; a failure is logged."""
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            await adapter.aclose()
    except Exception as error:  # noqa: BLE001 - an adapter may raise anything
        observer.adapter_close_failed(adapter.name, clean(error))


def why_no_balances(venues: Iterable[AnyVenue]) -> str:
    """The reason why no order can spend a share of the wallet's balance; empty if one of the venues has balances."""
    if any(venue.capabilities.network != Network.SIMULATED for venue in venues):
        return ""
    return "the enabled venues settle on the simulated chain, whose wallets hold nothing"


def enabled_venues(settings: Settings) -> Collection[str]:
    """The names of the enabled venues; none if an adapter cannot be loaded, which workers report."""
    try:
        return [venue_class.name for venue_class in registry.load(settings.adapters)]
    except AdapterLoadError:
        return ()
