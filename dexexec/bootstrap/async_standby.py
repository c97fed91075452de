"""Warns about an asynchronous standby of Postgres, and refuses to trade on mainnet with one unless that is allowed."""

from collections.abc import Iterable

from dexexec.bootstrap.clusters import MAINNET
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer
from dexexec.store import Database, has_asynchronous_standby

WARNING = (
    "Postgres has an asynchronous standby, which lacks the last commits when it is promoted. Accepted orders without a"
    " swap would be lost; orders with a swap are restored from the chain. Add it to synchronous_standby_names"
)


async def warn(database: Database, observer: Observer) -> None:
    """Log a warning if there is an asynchronous standby. Raises `UnavailableError`."""
    if await has_asynchronous_standby(database):
        observer.suspicious_setting_found(WARNING)


async def check_mainnet(database: Database, clusters: Iterable[str], *, allowed: bool) -> None:
    """Raises `StartupError` for an asynchronous standby on mainnet, unless `allowed`. Raises `UnavailableError`."""
    if MAINNET in clusters and not allowed and await has_asynchronous_standby(database):
        raise StartupError(f"{WARNING}, or set DEXEXEC_ALLOW_ASYNC_STANDBY=1 to trade on mainnet anyway")
