"""Changes an order that rests, for its client. The order's row decides: a change is written for the version that the
client has seen, and only while the order rests. So of a change, a trigger and a cancel at once, one has an effect.

Beside `cancellations`, below the API. `rested_xid` shows the change to the oracle.
"""

from datetime import date
from uuid import UUID

from psycopg.types.json import Jsonb

from dexexec.domain.amendment import AmendableOrder, Amendment
from dexexec.domain.event import Event
from dexexec.domain.order import FOREVER_MS
from dexexec.domain.policy import Policy
from dexexec.domain.share import posted_terms
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.wallet_policy import NO_WALLET_POLICIES, WalletPolicies
from dexexec.operator_errors import PolicyError
from dexexec.store import policies
from dexexec.store.cancellations import OWNED
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_row, fetch_rows

READ = f"""
SELECT o.id, o.version, o.status, o.type, o.resting, o.finished_at IS NOT NULL AS ended,
       o.triggered_at IS NOT NULL AS triggered, o.side, o.mode, o.input_mint, o.output_mint, o.amount, o.terms,
       e.detail
FROM orders o LEFT JOIN order_events e ON e.order_id = o.id AND e.seq = o.version
WHERE o.id = %(id)s AND {OWNED}
UNION ALL
SELECT id, version, status, type, false, true, false, side, mode, input_mint, output_mint, amount, terms, '{{}}'
FROM archived_orders o WHERE id = %(id)s AND {OWNED}
"""  # noqa: S608 - constants

# A new price is a new order for the oracle: it is triggered at once if that price is there, without the pause that
# followed the last try. The first quote and the best rate of a trailing stop were for the former amount: a larger one
# has a worse rate at the same price, which would look like a fall.
#
# A bound that may be tightened stays so: whether its client gave a slippage beside it is not known any more.
AMEND = """
WITH u AS (
    UPDATE orders o SET
        version = o.version + 1, terms = %(terms)s, amount = %(amount)s, amount_base = %(amount_base)s,
        min_out = %(min_out)s, max_in = %(max_in)s, bound_open = o.bound_open OR %(bound_open)s,
        quoted_in = CASE WHEN NOT %(resizes)s THEN o.quoted_in END,
        quoted_out = CASE WHEN NOT %(resizes)s THEN o.quoted_out END,
        high_water = CASE WHEN NOT %(resizes)s THEN o.high_water END,
        deadline_at = CASE WHEN NOT %(moves_expiry)s THEN o.deadline_at
                      ELSE coalesce(%(expires_at)s, o.created_at + %(forever_ms)s * interval '1 ms') END,
        wake_at = CASE WHEN NOT %(moves_expiry)s THEN o.wake_at
                  WHEN %(wakes_at_expiry)s THEN %(expires_at)s ELSE now.at END,
        max_price_impact_bps = coalesce(%(max_price_impact_bps)s::int, o.max_price_impact_bps),
        waiting = NULL, rests = 0, quiet_until = NULL, rested_xid = pg_current_xact_id()
    FROM (SELECT clock_timestamp() AS at) now
    WHERE o.id = %(id)s AND o.version = %(version)s AND o.resting AND o.ended IS NULL
    RETURNING o.id, o.version, now.at
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail)
    SELECT id, version, 'waiting', at, %(detail)s FROM u
)
SELECT version, at FROM u
"""

# A dry run spends nothing.
OWNER = "SELECT owner, wallet FROM orders WHERE id = %(id)s AND NOT dry_run"


async def read_amendable(database: Database, order_id: UUID, owner: int | None = None) -> AmendableOrder | None:
    """Return the order as it is now; None if `owner` (None: any) has no such order."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, READ, {"id": order_id, "owner": owner})
    for row in rows:
        return AmendableOrder(
            id=row.id,
            version=row.version,
            status=Status(row.status),
            type=OrderType(row.type),
            resting=row.resting,
            ended=row.ended,
            triggered=row.triggered,
            posted={
                "type": row.type,
                "side": row.side,
                "mode": row.mode,
                "inputMint": row.input_mint,
                "outputMint": row.output_mint,
                **posted_terms(row.amount, row.terms or {}),
            },
            last=row.detail or {},
        )
    return None


async def amend(
    database: Database,
    order_id: UUID,
    version: int,
    amendment: Amendment,
    *,
    today: date | None = None,
    wallets: WalletPolicies = NO_WALLET_POLICIES,
) -> Event | None:
    """Write the change and return its event; None if the order does not rest at that version any more. Raises
    `PolicyError` if the changed order breaks a limit of its owner or its wallet."""
    async with database.connection() as connection:
        row = await fetch_row(connection, OWNER, {"id": order_id})
        limited: dict[int, Policy | None] = {}
        if row is not None and row.owner is not None:
            limited = await policies.policies_of(connection, [row.owner])
        if row is not None:
            limited |= wallets.numbered(row.wallet)
        if not limited or amendment.trade is None:
            return await _amend(connection, order_id, version, amendment)
        async with connection.transaction():
            limits = await policies.lock_for(connection, limited, [order_id], today)
            if broken := limits.admit(order_id, sorted(limited, reverse=True), amendment.trade):
                raise PolicyError(broken)
            event = await _amend(connection, order_id, version, amendment)
            await policies.write_spends(connection, limits, [order_id] if event else [])
            return event


async def _amend(connection: Connection, order_id: UUID, version: int, amendment: Amendment) -> Event | None:
    bound = amendment.bound
    values = {
        "id": order_id,
        "version": version,
        "terms": Jsonb(dict(amendment.terms)),
        "amount": amendment.amount,
        "amount_base": amendment.amount_base,
        "min_out": bound.min_out if bound else None,
        "max_in": bound.max_in if bound else None,
        "bound_open": amendment.bound_open,
        "max_price_impact_bps": amendment.max_price_impact_bps,
        "resizes": amendment.resizes,
        "wakes_at_expiry": amendment.wakes_at_expiry,
        "moves_expiry": amendment.moves_expiry,
        "expires_at": amendment.expires_at,
        "forever_ms": FOREVER_MS,
        "detail": Jsonb(dict(amendment.detail)),
    }
    for row in await fetch_rows(connection, AMEND, values):
        return Event(order_id=order_id, seq=row.version, status=Status.WAITING, at=row.at, detail=amendment.detail)
    return None
