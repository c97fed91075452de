"""Checks orders against the policies of their keys and wallets, where both are recorded, over all processes.

The statement that stores an order, and the one that records an attempt, run under a lock of the key if it has a limit
that counts several orders. What the key's other orders spend is read behind that lock, so two processes never use the
same rest of a limit.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from uuid import UUID

from dexexec.domain.order import NewOrder
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import (
    Breach,
    Trade,
    breaches,
    day_breach,
    most_spent,
    open_orders_breach,
    posted_trade,
    unreadable_breach,
)
from dexexec.domain.policy_json import PolicyFormatError, read_policy
from dexexec.domain.terms import OrderType
from dexexec.domain.wallet_policy import NO_WALLET_POLICIES, WalletPolicies
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_row, fetch_rows, json_rows

POLICIES = "SELECT id, policy FROM api_keys WHERE id = ANY(%s) AND policy <> '{}'"

# Until the end of the transaction. Behind the locks of wallets (6) and groups (7).
LOCK = "SELECT pg_advisory_xact_lock(8, %s)"

# By the clock of the database: processes on several machines must agree when a day ends.
TODAY = "SELECT coalesce(%s::date, (clock_timestamp() AT TIME ZONE 'UTC')::date) AS day"

# An order that ended without a swap spent nothing. One that is not there is in the archive, which has set its amount.
SPENT = """
SELECT s.owner, s.mint, sum(CASE WHEN o.id IS NULL OR o.finished_at IS NULL THEN s.amount
                                 WHEN o.status = 'confirmed' THEN coalesce(o.amount_in, s.amount)
                                 ELSE 0 END) AS amount
FROM policy_spending s LEFT JOIN orders o ON o.id = s.order_id
WHERE s.owner = ANY(%(owners)s) AND s.day = %(day)s
GROUP BY s.owner, s.mint
"""
OWN = "SELECT order_id, owner, amount FROM policy_spending WHERE order_id = ANY(%(ids)s) AND day = %(day)s"
OPEN = """
SELECT owner, count(*) AS orders FROM orders
WHERE owner = ANY(%(owners)s) AND owner IS NOT NULL AND finished_at IS NULL GROUP BY owner
"""
KNOWN = "SELECT key FROM idempotency_keys WHERE key = ANY(%s)"

# Of several attempts of one day the most expensive counts, and another day's counts there instead: an attempt is only
# recorded once those before it can no longer land.
SPEND = """
INSERT INTO policy_spending (order_id, owner, mint, day, amount)
SELECT order_id, owner, mint, day, amount
FROM json_to_recordset(%s::json) AS t(order_id uuid, owner int, mint text, day date, amount numeric)
ON CONFLICT (order_id, owner) DO UPDATE SET day = excluded.day, amount =
    CASE WHEN policy_spending.day = excluded.day THEN greatest(policy_spending.amount, excluded.amount)
         ELSE excluded.amount END
"""


@dataclass(frozen=True, slots=True)
class Spend:
    """What an order may spend, to be written when it is stored or its attempt is recorded."""

    order_id: UUID
    owner: int
    mint: str
    amount: int


@dataclass(slots=True)
class LockedPolicies:
    """The policies of some owners, with what their orders spend on `day`, locked until the transaction ends."""

    day: date
    policies: Mapping[int, Policy | None]
    """None: the policy cannot be read."""
    spent: dict[tuple[int, str], int] = field(default_factory=dict)
    own: dict[tuple[UUID, int], int] = field(default_factory=dict)
    """What of it is of the orders that are checked."""
    open_orders: dict[int, int] = field(default_factory=dict)
    spends: list[Spend] = field(default_factory=list)
    """What the admitted orders may spend."""

    def admit(self, order_id: UUID, owners: Collection[int], trade: Trade) -> list[Breach]:
        """Count an attempt, or a change of an order, for its key and its wallet; returns the limits of one that it
        breaks, and then nothing of it is counted."""
        spending = {owner: self.policies.get(owner, NO_LIMITS) for owner in owners}
        for owner, policy in spending.items():
            if policy is None:
                return [unreadable_breach()]
            # The limits of one order first: breaking one of these does not end with the day.
            broken = breaches(policy, trade)
            # A change of an order that does not concern its amount leaves what is counted as it is.
            if not broken and trade.most_in is not None:
                broken = self._over(order_id, owner, policy, trade.mint_in, trade.most_in)
            if broken:
                return named(owner, broken)
        for owner, policy in spending.items():
            if trade.most_in is not None:
                self._take(order_id, owner, policy, trade.mint_in, trade.most_in)
        return []

    def accept(self, order: NewOrder, policies: Mapping[int, Policy]) -> list[Breach]:
        """Count a new order for its key and its wallet; returns the limits of one that it breaks, and then nothing of
        it is counted."""
        # All limits first, and only then what is counted: what the wallet refuses takes nothing of the key's.
        #
        # A dry run spends nothing, and of a recurring order only its slices do: each is counted when it is signed.
        spends = not order.dry_run and order.type is not OrderType.RECURRING
        mint, amount = order.swap.mint_in, most_spent(order) or 0
        for owner, policy in policies.items():
            too_many = open_orders_breach(policy, self.open_orders.get(owner, 0))
            broken = [too_many] if too_many is not None else []
            if spends:
                broken = broken or self._over(order.id, owner, policy, mint, amount)
            if broken:
                return named(owner, broken)
        for owner, policy in policies.items():
            if spends:
                self._take(order.id, owner, policy, mint, amount)
            self.open_orders[owner] = self.open_orders.get(owner, 0) + 1
        return []

    def _over(self, order_id: UUID, owner: int, policy: Policy, mint: str, amount: int) -> list[Breach]:
        # What it took when it was accepted, or for an earlier attempt of today, is part of the sum already.
        before = self.own.get((order_id, owner), 0)
        breach = day_breach(policy, mint, self.spent.get((owner, mint), 0) - before, max(amount, before))
        return [] if breach is None else [breach]

    def _take(self, order_id: UUID, owner: int, policy: Policy | None, mint: str, amount: int) -> None:
        if policy is None or not policy.max_per_day:
            return
        # It is not lowered: the row keeps the larger figure as well.
        before = self.own.get((order_id, owner), 0)
        amount = max(amount, before)
        self.spent[owner, mint] = self.spent.get((owner, mint), 0) - before + amount
        self.own[order_id, owner] = amount
        self.spends.append(Spend(order_id, owner, mint, amount))


async def policies_of(connection: Connection, owners: Sequence[int]) -> dict[int, Policy | None]:
    """Return the policies of those owners that have one; None for one that cannot be read."""
    rows = await fetch_rows(connection, POLICIES, (list(owners),), prepare=True)
    return {row.id: _read(row.policy) for row in rows}


async def read_policies(database: Database, owners: Sequence[int]) -> dict[int, Policy | None]:
    """Return the policies of those owners that have one; None for one that cannot be read."""
    async with database.connection() as connection:
        return await policies_of(connection, owners)


async def lock_for(
    connection: Connection, policies: Mapping[int, Policy | None], order_ids: Sequence[UUID], today: date | None
) -> LockedPolicies:
    """Lock the owners whose limits count several orders, until the transaction ends, and read what they spend on the
    day: `today`, or the database's."""
    counted = [owner for owner, policy in policies.items() if policy is not None and counts_orders(policy)]
    for owner in sorted(counted):  # in the same order in all processes, so that none can deadlock
        await connection.execute(LOCK, (owner,))
    day = (await fetch_row(connection, TODAY, (today,))).day
    locked = LockedPolicies(day, policies)
    if counted:
        # Each statement has a snapshot of its own, later than the locks: it has all that earlier holders committed.
        values = {"owners": counted, "day": day, "ids": list(order_ids)}
        for row in await fetch_rows(connection, SPENT, values, prepare=True):
            locked.spent[row.owner, row.mint] = int(row.amount)
        for row in await fetch_rows(connection, OWN, values, prepare=True):
            locked.own[row.order_id, row.owner] = int(row.amount)
    return locked


async def count_open_orders(connection: Connection, locked: LockedPolicies) -> None:
    """Read how many orders of each owner with such a limit have not ended."""
    owners = [
        owner for owner, policy in locked.policies.items() if policy is not None and policy.open_orders is not None
    ]
    if owners:
        for row in await fetch_rows(connection, OPEN, {"owners": owners}, prepare=True):
            locked.open_orders[row.owner] = row.orders


async def check_new(
    connection: Connection,
    orders: Sequence[tuple[NewOrder, Policy]],
    today: date | None,
    wallets: WalletPolicies = NO_WALLET_POLICIES,
) -> tuple[LockedPolicies, dict[UUID, list[Breach]]]:
    """Lock the owners and wallets of new orders until the transaction ends, and return the limits that each order
    breaks."""
    counted = {
        order.id: {
            owner: each
            for owner, each in {**_numbered(order.owner, policy), **wallets.numbered(order.wallet)}.items()
            if counts_orders(each)
        }
        for order, policy in orders
    }
    policies: dict[int, Policy | None] = {
        owner: policy for of_order in counted.values() for owner, policy in of_order.items()
    }
    locked = await lock_for(connection, policies, [], today)
    await count_open_orders(connection, locked)
    keys = [order.idempotency_key for order, _ in orders if order.idempotency_key is not None]
    # A repeated request gets its order, and takes nothing of a limit.
    known = {row.key for row in await fetch_rows(connection, KNOWN, (keys,), prepare=True)} if keys else set()
    broken: dict[UUID, list[Breach]] = {}
    for order, policy in orders:
        found = breaches(policy, posted_trade(order))
        for number, limits in wallets.numbered(order.wallet).items():
            found = found or named(number, breaches(limits, posted_trade(order)))
        # In the order of the batch: what one order takes is missing for those behind it.
        if not found and order.idempotency_key not in known:
            found = locked.accept(order, counted[order.id])
        if found:
            broken[order.id] = found
        elif order.idempotency_key is not None:
            # The same key twice in one batch is one order.
            known.add(order.idempotency_key)
    return locked, broken


async def write_spends(connection: Connection, locked: LockedPolicies, written: Collection[UUID]) -> None:
    """Write what the orders in `written` may spend."""
    rows = [
        {
            "order_id": spend.order_id,
            "owner": spend.owner,
            "mint": spend.mint,
            "day": locked.day.isoformat(),
            "amount": str(spend.amount),
        }
        for spend in locked.spends
        if spend.order_id in written
    ]
    if rows:
        await connection.execute(SPEND, (json_rows(rows),))


def named(owner: int, broken: Sequence[Breach]) -> list[Breach]:
    """The breaches of the policy of a key, or of the wallet with this number."""
    return [replace(breach, of="wallet") for breach in broken] if owner < 0 else list(broken)


def _numbered(owner: int | None, policy: Policy) -> dict[int, Policy]:
    return {} if owner is None else {owner: policy}


def counts_orders(policy: Policy) -> bool:
    """Whether a limit of the policy counts several orders, so that it can only be checked under its lock."""
    return policy.open_orders is not None or bool(policy.max_per_day)


def _read(detail: object) -> Policy | None:
    try:
        return read_policy(detail)
    except PolicyFormatError:
        # A newer version or a person has written it: its limits are unknown, so nothing may be signed.
        return None
