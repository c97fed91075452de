"""Assembles the loops that look after resting orders."""

from dexexec.bootstrap.shared import Shared
from dexexec.resting.leader import Duty, Leader
from dexexec.resting.wakes import Wakes
from dexexec.store import Store


def make_leader(shared: Shared, store: Store) -> Leader:
    """The leader's duties of a worker process. `store` announces what they write."""
    duties: list[Duty] = [Wakes(store, shared.queue)]
    interval = shared.settings.oracle_interval_ms / 1000
    return Leader(store, duties, interval, clock=shared.clock, observer=shared.observer)
