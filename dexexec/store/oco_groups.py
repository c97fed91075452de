"""Groups of orders of which at most one may be filled (docs/adr/0027).

A step that records an attempt for an order of a group first locks the group, and then looks at the other orders of it
in a statement of its own, whose snapshot has everything that earlier holders of the lock committed. Nothing is kept
about who may swap: the attempts of the other orders decide, so a record that lost commits decides by what it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from dexexec.domain.event import Detail
from dexexec.domain.oco import GroupHeld
from dexexec.domain.status import Status
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_rows
from dexexec.store.steps import Step

Events = tuple[tuple[Status, Detail], ...]
ALSO_FILLED = "groupAlsoFilled"
"""The field of a `confirmed` event that reports that another order of the group was filled as well."""

# Until the end of the transaction. A lock without a row, since an order that lies in no group yet has none to lock.
LOCK = "SELECT pg_advisory_xact_lock(7, hashtext(%s))"

# Other members `o` of the group of `me` whose swap has landed or may still land. A dry run is tied to dry runs only.
# `filled_by`: the order that filled the group may be in the archive by now, and never leaves its mark there.
# `tried`: attempts of the other members, whatever became of them. The worker has looked up those that it saw when it
# claimed the order; one that was recorded since then may have landed although it was proven gone.
#
# LIMIT and OFFSET 0 keep the parts lookups by index: as joins, the planner reads whole indexes that it takes for small.
MEMBERS = """
SELECT me.id, me.oco_group, coalesce(f.filled_by, o.id) AS other,
       coalesce(f.filled_by IS NOT NULL OR o.status IN ('confirmed', 'simulated'), false) AS filled, t.tried
FROM orders me
LEFT JOIN LATERAL (
    SELECT filled_by FROM oco_groups WHERE name = me.oco_group AND dry_run = me.dry_run AND filled_by <> me.id OFFSET 0
) f ON true
LEFT JOIN LATERAL (
    SELECT id, status FROM orders
    WHERE oco_group = me.oco_group AND dry_run = me.dry_run AND id <> me.id
      AND (ended IN ('confirmed', 'simulated')
           OR finished_at IS NULL AND (status IN ('submitted', 'confirmed') OR EXISTS (
               SELECT FROM attempts a WHERE a.order_id = orders.id AND coalesce(a.outcome, '') = '')))
    ORDER BY finished_at LIMIT 1
) o ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS tried FROM orders s JOIN attempts a ON a.order_id = s.id
    WHERE s.oco_group = me.oco_group AND s.dry_run = me.dry_run AND s.id <> me.id AND s.attempts > 0
) t
WHERE me.id = ANY(%s)
"""

WAKE = """
WITH m AS MATERIALIZED (SELECT id FROM orders WHERE oco_group = %(group)s AND attempts > 0)
UPDATE orders o SET resting = false, due_at = clock_timestamp() FROM m
WHERE o.id = m.id AND coalesce(o.resting, false)
  AND (SELECT true FROM attempts a WHERE a.order_id = o.id AND a.signature = ANY(%(signatures)s) LIMIT 1)
"""


@dataclass(slots=True)
class LockedGroups:
    """The groups of some orders, locked until the transaction ends: what keeps each of these orders from swapping."""

    _held: dict[UUID, GroupHeld] = field(default_factory=dict)
    _tried: dict[UUID, int] = field(default_factory=dict)
    _taken: dict[str, UUID] = field(default_factory=dict)
    _swapped: dict[str, UUID] = field(default_factory=dict)

    def take(self, order_id: UUID, group: str, looked_up: int) -> GroupHeld | None:
        """Let the order be the one of its group that swaps; otherwise returns why it may not. `looked_up` is the number
        of attempts of the others that were looked up on chain before."""
        held = self._held.get(order_id)
        if held is None and self._tried.get(order_id, 0) > looked_up:
            held = GroupHeld(group, None)
        # Two orders of the group may be in one batch, and then neither is in the other's snapshot.
        if held is None and self._taken.setdefault(group, order_id) != order_id:
            held = GroupHeld(group, self._taken[group])
        return held

    def reported(self, step: Step) -> Step:
        """The step; if another order of the group was filled as well, which must never be, its event reports that."""
        if step.group is None or not step.swapped:
            return step
        return replace(step, events=self.reporting(step.order_id, step.group, step.events))

    def reporting(self, order_id: UUID, group: str, events: Events) -> Events:
        """The events of a swap that has landed, with what else filled the group in the last one."""
        held = self._held.get(order_id)
        others = {held.order_id} if held is not None and held.filled else set()
        others |= {self._swapped.setdefault(group, order_id)} - {order_id}
        if not others:
            return events
        status, detail = events[-1]
        return *events[:-1], (status, {**detail, ALSO_FILLED: sorted(map(str, others))})


async def lock(connection: Connection, groups: Sequence[str]) -> None:
    """Lock the groups until the transaction of `connection` ends."""
    for group in sorted(set(groups)):  # in the same order in all processes, so that none can deadlock
        await connection.execute(LOCK, (group,))


async def lock_for(connection: Connection, orders: Sequence[tuple[UUID, str]]) -> LockedGroups:
    """Lock the groups of these orders until the transaction ends, and read their other members."""
    locked = LockedGroups()
    if not orders:
        return locked
    await lock(connection, [group for _, group in orders])
    for row in await fetch_rows(connection, MEMBERS, ([order_id for order_id, _ in orders],), prepare=True):
        locked._tried[row.id] = row.tried
        if row.other is not None:
            locked._held[row.id] = GroupHeld(row.oco_group, row.other, row.filled)
    return locked


async def wake(database: Database, group: str, signatures: Sequence[str]) -> None:
    """Make those orders of the group due that rest, and have one of these attempts: their worker finds it on chain."""
    async with database.connection() as connection:
        await connection.execute(WAKE, {"group": group, "signatures": list(signatures)})
