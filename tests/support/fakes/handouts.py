"""What `dexexec.store.handouts` does, in memory."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from dexexec.domain.handout import AwaitedOrder, Handout
from dexexec.store import Step
from tests.support.fakes.rows import MS

if TYPE_CHECKING:
    from tests.support.fakes.database import MemoryDatabase


@dataclass(slots=True)
class HandoutRow:
    """A transaction, and when it was handed out (microseconds)."""

    handout: Handout
    made_at: int


def write(database: "MemoryDatabase", step: Step, now: int) -> None:
    """Keep what a step hands out, or remove what became of it."""
    if step.handout is not None:
        database.handouts[step.order_id] = HandoutRow(replace(step.handout, signature=None), now)
    elif step.takes_handout:
        database.handouts.pop(step.order_id, None)


def read(database: "MemoryDatabase", order_id: UUID) -> Handout | None:
    """The newest transaction of an order."""
    row = database.handouts.get(order_id)
    return None if row is None else replace(row.handout, age_ms=(database.now() - row.made_at) // MS)


def awaited(database: "MemoryDatabase", order_id: UUID, owner: int | None) -> AwaitedOrder | None:
    """An order as its client wants to sign for it."""
    row = database.order_of(order_id, owner)
    if row is None:
        return None
    ended = row.finished_at is not None
    last = row.attempts[-1].attempt if row.attempts else None
    return AwaitedOrder(
        status=row.status,
        ended=ended,
        wallet=row.new.wallet,
        handout=None if ended else read(database, order_id),
        recorded=last.signed.payload if last else None,
        recorded_n=last.n if last else 0,
    )


def sign(database: "MemoryDatabase", order_id: UUID, message: bytes, signature: bytes) -> int | None:
    """Keep a signature of the newest transaction."""
    row, order = database.handouts.get(order_id), database.orders.get(order_id)
    if row is None or order is None or order.finished_at is not None or row.handout.message != message:
        return None
    if row.handout.signature not in (None, signature):
        return None
    row.handout = replace(row.handout, signature=signature)
    order.due_at = database.now()
    return row.handout.n
