"""Says at the start what a promoted standby of Postgres may lack; on mainnet that has to be allowed by name."""

from collections.abc import Iterable

from dexexec.bootstrap.networks import MAINNET
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer
from dexexec.store import Database, has_asynchronous_standby

WARNING = (
    "Postgres has an asynchronous standby: promoted, it lacks the last commits. Accepted orders that had not swapped"
    " are then gone, those that had come back from the chain. Name standbys in synchronous_standby_names"
)


async def warn(database: Database, observer: Observer) -> None:
    """One line, if it is so. Raises `UnavailableError`."""
    if await has_asynchronous_standby(database):
        observer.suspicious_setting_found(WARNING)


async def check_mainnet(database: Database, clusters: Iterable[str], *, allowed: bool) -> None:
    """Raises `StartupError` where real money is traded and it is so, unless that is `allowed`; and
    `UnavailableError`."""
    if MAINNET in clusters and not allowed and await has_asynchronous_standby(database):
        raise StartupError(f"{WARNING}, or set DEXEXEC_ALLOW_ASYNC_STANDBY=1 to trade on mainnet all the same")
