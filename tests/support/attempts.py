"""Attempts of orders, for what seals without a pipeline."""

from uuid import uuid4

from dexexec.domain.attempt_id import AttemptId

RECORD = "5f3c9a1e"
DIGEST = "Zt0Qm3xW-a9K_b2c"
"""Of the key of an order."""


def an_attempt() -> AttemptId:
    """The first attempt of an order that is like no other, and was posted with a key: so its memo is the longer one."""
    return AttemptId(uuid4(), 1, DIGEST)
