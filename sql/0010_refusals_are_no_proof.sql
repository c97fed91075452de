-- A node's refusal of a transaction once counted as proof that it had no effect (outcome `rejected`). It is no proof: the
-- node may have passed the bytes on. If an unfinished order would be signed again because of such a refusal, its attempt is
-- reopened, so that it is looked up on chain first. Events record the way back to `submitted`, along the table of statuses.
WITH reopened AS (
    UPDATE attempts a SET outcome = NULL, resolved_at = NULL, proof = NULL
    FROM orders o
    WHERE o.id = a.order_id AND o.finished_at IS NULL AND o.status IN ('routing', 'building')
      AND a.outcome = 'rejected' AND a.n = o.attempts
      AND NOT EXISTS (SELECT FROM attempts b WHERE b.order_id = a.order_id AND b.outcome IS NULL)
    RETURNING a.order_id, a.n, a.venue, a.signature, a.last_valid_height
), told AS (
    UPDATE orders o SET version = o.version + 2, status = 'submitted', venue = r.venue, tx_hash = r.signature,
        worker = NULL, due_at = clock_timestamp()
    FROM reopened r WHERE o.id = r.order_id
    RETURNING o.id, o.version, r.n, r.venue, r.signature, r.last_valid_height
)
INSERT INTO order_events (order_id, seq, status, detail)
SELECT id, version - 1, 'building', jsonb_build_object('venue', venue) FROM told
UNION ALL
SELECT id, version, 'submitted', jsonb_build_object(
    'venue', venue, 'attempt', n, 'txHash', signature, 'lastValidHeight', last_valid_height,
    'detail', 'a refusal of this transaction counted as proof, and is none: the chain is asked')
FROM told;
