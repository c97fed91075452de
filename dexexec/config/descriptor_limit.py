"""The limit of file descriptors: raises it as far as the system allows, and computes the share of clients."""

import fcntl
import os
import resource
from contextlib import suppress

RESERVE = 256
"""Descriptors reserved for Postgres, Redis, the chains' nodes and files; half of all if there are few."""
UNLIMITED = 65_536
"""The requested limit if the system has no bound (some systems refuse a larger number)."""


def raise_limit() -> None:
    """Raise the soft limit of this process and its future children to the hard limit, if the system allows it, and let
    the kernel's table of descriptors have its full size. Call it before the process has threads."""
    _raise_soft_limit()
    # The kernel doubles the table when it is full. With threads it then waits for all cores (RCU): on a busy machine
    # for seconds, in which a flood of connections would stop the whole process.
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError):  # no standard input, or no memory
        os.close(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, min(soft, UNLIMITED) - 1))


def _raise_soft_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = UNLIMITED if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a separate, lower bound
        return


def for_clients() -> int:
    """Descriptors that clients' connections may use."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = UNLIMITED if soft == resource.RLIM_INFINITY else soft
    return soft - min(RESERVE, soft // 2)
