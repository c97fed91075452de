"""Postgres, the record: orders with their events and attempts, and the claims and leases of workers.

Other rooms use `Store`. Each module beside it has one concern, with its SQL statements and the code around them.
"""

from dexexec.config.postgres_url import Address
from dexexec.store.archive import ArchiveSession
from dexexec.store.chain_comparisons import BegunComparison, ChainComparisons, ComparisonState
from dexexec.store.confirmed_orders import ConfirmedPage
from dexexec.store.costs import CostQuery, CostReport, GroupBy
from dexexec.store.database import Database
from dexexec.store.event_positions import (
    EventPage,
    EventReader,
    InvalidPositionError,
    PlacedEvent,
    PositionUnknownError,
    check_position,
)
from dexexec.store.follow_ups import EndedOrder, FollowUp
from dexexec.store.launches import NotedStop, SniperPair
from dexexec.store.leases import WorkerSession
from dexexec.store.migrate import migrate
from dexexec.store.order_lists import Cursor
from dexexec.store.orders import Created
from dexexec.store.permissions import check_ownership
from dexexec.store.program_versions import ProgramVersions
from dexexec.store.resting import RestingOrder, Triggering
from dexexec.store.resting_marks import HighWater, RestingNote
from dexexec.store.restoring import Restoring
from dexexec.store.session import connect
from dexexec.store.session_settings import UnfitSessionError, UnwritableError
from dexexec.store.snapshots import CopiedTable, Snapshot
from dexexec.store.standbys import has_asynchronous_standby
from dexexec.store.steps import Attempt, Claimed, NewAttempt, Release, Resolution, RoundAmount, Step
from dexexec.store.store import Store
from dexexec.store.wait_reasons import WaitNote

__all__ = [
    "Address",
    "ArchiveSession",
    "Attempt",
    "BegunComparison",
    "ChainComparisons",
    "Claimed",
    "ComparisonState",
    "ConfirmedPage",
    "CopiedTable",
    "CostQuery",
    "CostReport",
    "Created",
    "Cursor",
    "Database",
    "EndedOrder",
    "EventPage",
    "EventReader",
    "FollowUp",
    "GroupBy",
    "HighWater",
    "InvalidPositionError",
    "NewAttempt",
    "NotedStop",
    "PlacedEvent",
    "PositionUnknownError",
    "ProgramVersions",
    "Release",
    "Resolution",
    "RestingNote",
    "RestingOrder",
    "Restoring",
    "RoundAmount",
    "Snapshot",
    "SniperPair",
    "Step",
    "Store",
    "Triggering",
    "UnfitSessionError",
    "UnwritableError",
    "WaitNote",
    "WorkerSession",
    "check_ownership",
    "check_position",
    "connect",
    "has_asynchronous_standby",
    "migrate",
]
