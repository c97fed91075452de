"""The roles that a process of the service can have."""

from enum import StrEnum


class Role(StrEnum):
    """Which halves of the service run in this process."""

    ALL = "all"
    API = "api"
    WORKER = "worker"
