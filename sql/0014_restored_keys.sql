-- Idempotency keys of orders that a record lost and that were restored from the chain: their transactions' memos have a
-- digest of the key and of the body (docs/adr/0015-the-memo-names-the-order.md).

-- The secret keeps readers of the chain from trying out keys. Copies and backups have it, as they have the record's name.
ALTER TABLE installation
    ADD COLUMN key_secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());

-- 16 characters: the first 12 are of the key, the last 4 of the body. The secret is a parameter, so the planner
-- can inline this as an expression.
CREATE FUNCTION key_digest(secret bytea, key text, body_hash bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT translate(encode(substr(sha256(secret || convert_to(key, 'UTF8')), 1, 9)
                            || substr(sha256(secret || body_hash), 1, 3), 'base64'), '+/', '-_')
$$;

ALTER TABLE orders ADD COLUMN key_digest text;  -- NULL without a key, and in rows of older versions

CREATE TABLE restored_keys (
    key_digest  text PRIMARY KEY,
    body_digest text NOT NULL,
    order_id    uuid NOT NULL
);
CREATE INDEX restored_keys_order ON restored_keys (order_id);
