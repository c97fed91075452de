"""A long history, made by Postgres itself: orders that were confirmed over the last days."""

import psycopg

MADE = """
CREATE TEMP TABLE made AS
SELECT n, uuidv7_at(at, n) AS id, at, md5(n::text) || md5((n + 1)::text) AS signature
FROM (SELECT n, clock_timestamp() - interval '2 h' - {days} * interval '1 day' * ({count} - n) / {count} AS at
      FROM generate_series(1, {count}) n) moments
"""

UUIDV7_AT = """
CREATE FUNCTION pg_temp.uuidv7_at(at timestamptz, n bigint) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
            || '8' || substr(md5(n::text), 4, 15))::uuid $$
"""

ORDERS = """
INSERT INTO orders (id, side, amount, venue, tx_hash, status, created_at, mode, input_mint, output_mint, amount_base,
                    slippage_bps, deadline_at, client, amount_in, amount_out, version, claim, attempts, finished_at,
                    finalized_at)
SELECT id, 'buy', 0.01, 'here', signature, 'confirmed', at, 'exactIn', 'So11111111111111111111111111111111111111112',
       'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', 10000000, 50, at + interval '5 min', '127.0.0.1', 10000000,
       1510000, 5, 1, 1, at + interval '1 s', at + interval '1 s'
FROM made
"""

EVENTS = """
INSERT INTO order_events (order_id, seq, status, at, detail)
SELECT id, seq, (ARRAY['pending', 'routing', 'building', 'submitted', 'confirmed'])[seq], at + seq * interval '0.2 s',
       jsonb_build_object('venue', 'here', 'price', '151.2', 'txHash', signature)
FROM made, generate_series(1, 5) seq
"""

ATTEMPTS = """
INSERT INTO attempts (order_id, n, venue, signature, payload, last_valid_height, quote, created_at, outcome, proof)
SELECT id, 1, 'here', signature, decode(signature, 'hex'), 1000, '{"price": "151.2"}', at, 'landed', '{"slot": 1}'
FROM made
"""

SWAPS = """
INSERT INTO simulated_swaps (signature, payload, sent_height, lands_at_ms, last_valid_height, valid_until_ms, lost)
SELECT signature, decode(signature, 'hex'), 1, ms, 1000, ms + 60000, false
FROM made, LATERAL (SELECT (extract(epoch FROM at) * 1000)::bigint AS ms) times
"""

KEYS = (
    r"INSERT INTO idempotency_keys (key, body_hash, order_id, created_at) SELECT md5(n::text), '\x00', id, at FROM made"
)


def fill(conninfo: str, count: int, days: int) -> None:
    """Store `count` confirmed orders, spread over the last `days`, each with five events, an attempt, its swap on the
    simulated chain and a key; the youngest is two hours old. The tables may be of any version of the schema."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute(UUIDV7_AT.encode())
        connection.execute(MADE.replace("uuidv7_at", "pg_temp.uuidv7_at").format(count=count, days=days).encode())
        for statement in (ORDERS, EVENTS, ATTEMPTS, SWAPS, KEYS):
            connection.execute(statement.encode())
        connection.execute("ANALYZE")
