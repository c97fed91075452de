-- Two kinds of orders that ended before the schema could store it.

-- Until 0003, `confirmed` was the end of an order, and its event had no `finalized`: a client that follows such an order
-- waits for an event that never comes. All of them settled on the simulated chain, which takes nothing back. Since 0003
-- a confirmed order has `finished_at` only together with `finalized_at`. That is the proof, and a further event reports it.
WITH ended AS (
    UPDATE orders SET version = version + 1, finalized_at = finished_at
    WHERE status = 'confirmed' AND finished_at IS NOT NULL AND finalized_at IS NULL
    RETURNING id, version
)
INSERT INTO order_events (order_id, seq, status, detail)
SELECT ended.id, ended.version, 'confirmed', coalesce(last.detail, '{}') || '{"finalized": true}'
FROM ended LEFT JOIN order_events last ON last.order_id = ended.id AND last.seq = ended.version - 1;

UPDATE archived_orders SET
    version = version + 1, finalized_at = finished_at,
    events = (events::jsonb || jsonb_build_object(
        'order_id', id, 'seq', version + 1, 'status', 'confirmed', 'at', clock_timestamp(),
        'detail', coalesce(events::jsonb -> -1 -> 'detail', '{}') || '{"finalized": true}'))::json
WHERE status = 'confirmed' AND finalized_at IS NULL;

-- Unknown values of an order are NULL.
ALTER TABLE orders
    ALTER COLUMN input_mint DROP NOT NULL, ALTER COLUMN output_mint DROP NOT NULL, ALTER COLUMN amount_base DROP NOT NULL,
    ALTER COLUMN slippage_bps DROP NOT NULL, ALTER COLUMN deadline_at DROP NOT NULL;
ALTER TABLE archived_orders
    ALTER COLUMN input_mint DROP NOT NULL, ALTER COLUMN output_mint DROP NOT NULL, ALTER COLUMN amount_base DROP NOT NULL,
    ALTER COLUMN slippage_bps DROP NOT NULL, ALTER COLUMN deadline_at DROP NOT NULL;

-- An older table `orders` with the eight documented columns has been renamed to `orders_taken_over` before this runs.
-- Its rows become orders that are read and followed like any other, and never executed: each keeps its status, and gets
-- one event, the last. The columns may have any type, and a row that cannot be an order stays only there.
DO $$
BEGIN
    IF to_regclass('orders_taken_over') IS NULL THEN RETURN; END IF;
    WITH old AS (
        SELECT lower(id::text) AS id, lower(side::text) AS side, btrim(amount::text) AS amount, venue::text, tx_hash::text,
               lower(status::text) AS status, failure_reason::text,
               CASE WHEN isfinite(created_at::timestamptz) THEN
                   greatest(least(created_at::timestamptz, clock_timestamp()), 'epoch') ELSE clock_timestamp() END AS at
        FROM orders_taken_over
    ), taken AS (
        INSERT INTO orders (id, side, amount, venue, tx_hash, status, failure_reason, created_at, mode, client, finished_at)
        SELECT id::uuid, side, amount::numeric, venue, tx_hash, status, failure_reason, at, 'exactIn', '', clock_timestamp()
        FROM old
        WHERE id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND side IN ('buy', 'sell')
          AND amount ~ '^[0-9]{1,40}(\.[0-9]{1,40})?$'
          AND status IN ('pending', 'waiting', 'routing', 'building', 'submitted', 'confirmed', 'failed', 'cancelled',
                         'expired')
        ON CONFLICT (id) DO NOTHING
        RETURNING id, created_at, status, venue, tx_hash, failure_reason
    )
    INSERT INTO order_events (order_id, seq, status, at, detail)
    SELECT id, 1, status, created_at, jsonb_strip_nulls(jsonb_build_object(
        'takenOver', true, 'venue', venue, 'txHash', tx_hash, 'reason', failure_reason,
        'detail', 'taken over from a table of orders that was there before; nobody works on it'))
    FROM taken;
END
$$;
