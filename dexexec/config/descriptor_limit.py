"""File descriptors: as many as the system lets this process have, and how many of them clients may take."""

import resource

RESERVE = 256
"""Kept for Postgres, Redis, the chains' nodes and files, or half of all where there are few."""
UNLIMITED = 65_536
"""What is asked for where the system names no bound (some refuse a number that is too large)."""


def raise_limit() -> None:
    """Lift the soft limit of this process, and of those that it starts, to the hard one; leave it where that is
    refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = UNLIMITED if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a bound of its own besides
        return


def for_clients() -> int:
    """Descriptors that connections of clients may take."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = UNLIMITED if soft == resource.RLIM_INFINITY else soft
    return soft - min(RESERVE, soft // 2)
