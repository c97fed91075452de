"""Postgres, the record: orders, their events and attempts, and who works on what.

`Store` is what the rest of the project talks to; each concern has a module of its own beside its statements:
`intake` (new orders), `seats` (those that a worker takes at once), `history` and `archive` (reading), `work` (claims
and steps), `watching` (confirmed orders), `waiting` (what orders wait for), `workers` (leases), `retention` (what
becomes of finished orders), `ledger` (the simulated chain), `comparisons` (what the record lacks of the chain),
`restored_keys` (of orders that came back from it), `migrate`, `schema` and `rights` (our tables, and what stands in
their way), `session` and `pooler` (what a connection must be), `replication` (what a standby may lack).
"""

from dexexec.config.postgres_url import Address
from dexexec.store.archive import ArchiveSession
from dexexec.store.chain_comparisons import BegunComparison, ChainComparisons, ComparisonState
from dexexec.store.confirmed_orders import ConfirmedPage
from dexexec.store.database import Database
from dexexec.store.dispatcher import CapacityReservation, Dispatcher
from dexexec.store.leases import WorkerSession
from dexexec.store.migrate import migrate
from dexexec.store.orders import Created
from dexexec.store.permissions import check_ownership
from dexexec.store.queries import Cursor
from dexexec.store.session import UnfitSessionError, UnwritableError, connect
from dexexec.store.standbys import has_asynchronous_standby
from dexexec.store.steps import Attempt, Claimed, NewAttempt, Release, Resolution, Step
from dexexec.store.store import Store
from dexexec.store.wait_reasons import WaitNote

__all__ = [
    "Address",
    "ArchiveSession",
    "Attempt",
    "BegunComparison",
    "CapacityReservation",
    "ChainComparisons",
    "Claimed",
    "ComparisonState",
    "ConfirmedPage",
    "Created",
    "Cursor",
    "Database",
    "Dispatcher",
    "NewAttempt",
    "Release",
    "Resolution",
    "Step",
    "Store",
    "UnfitSessionError",
    "UnwritableError",
    "WaitNote",
    "WorkerSession",
    "check_ownership",
    "connect",
    "has_asynchronous_standby",
    "migrate",
]
