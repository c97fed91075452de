"""What the known holes have in common: an order that was executed once, and what happens meanwhile."""

from typing import Any

from tests.support.localnet.request_log import payload_of
from tests.support.localnet.worker_setup import WorkerSetup

CACHE = 300
"""Slots for which a node finds a status without searching its history."""


async def nothing() -> None:
    """A pause in which nothing happens."""


async def only_attempt(b: WorkerSetup, order_id: Any) -> Any:
    """The order was executed once, with its first and only signature."""
    view = await b.executed_once(order_id)
    assert (view["attemptCount"], len(view["attempts"])) == (1, 1)
    assert {payload_of(sent) for sent in b.at.request_log.sends} == {(await b.attempts())[0][1]}
    return view
