"""The limit of file descriptors: raises it as far as the system allows, and computes the share of clients."""

import resource

RESERVE = 256
"""Descriptors reserved for Postgres, Redis, the chains' nodes and files; half of all if there are few."""
UNLIMITED = 65_536
"""The requested limit if the system has no bound (some systems refuse a larger number)."""


def raise_limit() -> None:
    """Raise the soft limit of this process and its future children to the hard limit, if the system allows it."""
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
