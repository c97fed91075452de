"""Resting orders in any number, made by Postgres itself: limit orders as they are after their commit."""

from uuid import UUID

import psycopg

from dexexec.domain.token import USDC, WSOL

ORDERS = """
INSERT INTO orders (id, side, amount, status, created_at, mode, input_mint, output_mint, amount_base, slippage_bps,
                    deadline_at, client, version, due_at, min_out, max_in, bound_open, type, terms, tag, resting,
                    rested_xid)
SELECT gen_random_uuid(), 'buy', 0.01, 'waiting', clock_timestamp(), 'exactIn', %(input_mint)s, %(output_mint)s,
       10000000, 50, now() + interval '100 years', '127.0.0.1', 2, 'infinity', 3000000, 10000000, false, 'limit',
       '{"timeInForce": "GTC", "limitPrice": "300"}', %(tag)s, true, pg_current_xact_id()
FROM generate_series(1, %(count)s)
RETURNING id
"""
EVENTS = """
INSERT INTO order_events (order_id, seq, status, detail)
SELECT o.id, seq, (ARRAY['pending', 'waiting'])[seq], '{"detail": "waits for its limit"}'
FROM orders o, generate_series(1, 2) seq
WHERE o.resting AND NOT EXISTS (SELECT FROM order_events e WHERE e.order_id = o.id)
"""


def rest(conninfo: str, count: int, *, pair: tuple[str, str] = (WSOL, USDC), tag: str | None = None) -> list[UUID]:
    """Store `count` resting orders, each with its two events, and return their ids."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        about = {"input_mint": pair[0], "output_mint": pair[1], "count": count, "tag": tag}
        made = connection.execute(ORDERS, about).fetchall()
        connection.execute(EVENTS)
        connection.execute("ANALYZE orders, order_events")
    return [order_id for (order_id,) in made]
