"""Numbers of the session locks: advisory locks that a process holds as long as its connection lasts."""

from enum import IntEnum
from zlib import crc32

from dexexec.config.postgres_url import DEFAULT_SCHEMA


class SessionLock(IntEnum):
    """What a session lock is for."""

    WORKER = 1  # held by each worker on its id: the worker lives
    ARCHIVE = 3  # held by the process that archives orders
    COMPARISON = 4  # held by the process that compares a wallet's transactions with the record
    DELIVERY = 5  # held by each process that delivers to webhooks on its number: its tries are in flight


def lock_class(schema: str, lock: SessionLock) -> int:
    """Return the first number of a session lock for the tables in `schema`."""
    # Locks belong to the database. Without the schema, installations in several schemas of one database would wait for
    # each other's workers. Locks that last one statement may be shared. The default schema keeps the plain numbers.
    return lock if schema == DEFAULT_SCHEMA else (crc32(schema.encode()) & 0x7FF_FFFF) << 4 | lock
