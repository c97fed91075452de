"""Attempts of orders, for what seals without a pipeline."""

from uuid import uuid4

from dexexec.domain.attempt_id import AttemptId

RECORD = "5f3c9a1e"


def an_attempt() -> AttemptId:
    """The first attempt of an order that is like no other."""
    return AttemptId(uuid4(), 1)
