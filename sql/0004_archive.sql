-- Finished orders leave `orders`, `order_events` and `attempts` for an archive when DEXEXEC_KEEP_DAYS is set: one row per
-- order, partitioned by time, so that old orders are dropped with their partition. Statements that execute orders only
-- use the tables without partitions.

-- The list by status needs its index, and an index on `status` itself would make every step of an order write all the
-- others (no HOT update). This column changes once, at the end.
ALTER TABLE orders
    ADD COLUMN ended text GENERATED ALWAYS AS (CASE WHEN finished_at IS NOT NULL THEN status END) STORED,
    SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
DROP INDEX orders_finished;
CREATE INDEX orders_ended ON orders (ended, created_at DESC, id DESC) WHERE ended IS NOT NULL;
ALTER TABLE order_events SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE attempts SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Signatures are random, so writes to an index of all of them are scattered, and get slower as it grows. Two attempts
-- could only be one swap if they had the same bytes, under one blockhash, and then both are open.
ALTER TABLE attempts DROP CONSTRAINT attempts_signature_key;
CREATE UNIQUE INDEX attempts_signature_open ON attempts (signature) WHERE outcome IS NULL;

CREATE TABLE archived_orders (
    id             uuid NOT NULL,
    side           text NOT NULL,
    amount         numeric NOT NULL,
    venue          text,
    tx_hash        text,
    status         text NOT NULL,
    failure_reason text,
    created_at     timestamptz NOT NULL,
    mode           text NOT NULL,
    input_mint     text NOT NULL,
    output_mint    text NOT NULL,
    amount_base    numeric(20, 0) NOT NULL,
    slippage_bps   integer NOT NULL,
    deadline_at    timestamptz NOT NULL,
    client         text NOT NULL,
    amount_in      numeric(20, 0),
    amount_out     numeric(20, 0),
    version        integer NOT NULL,
    rounds         integer NOT NULL,
    attempts       integer NOT NULL,
    finished_at    timestamptz NOT NULL,
    finalized_at   timestamptz,
    events         json NOT NULL,               -- the rows of `order_events`, in order; json is made faster than jsonb
    tries          json NOT NULL                -- the rows of `attempts`, in order
) PARTITION BY RANGE (created_at);              -- the database's clock: clients and API processes do not choose a partition
-- No key over all partitions: an order is inserted once, by the statement that deletes it from `orders`.

CREATE INDEX archived_orders_id ON archived_orders (id);
CREATE INDEX archived_orders_newest ON archived_orders (created_at DESC, id DESC);
CREATE INDEX archived_orders_ended ON archived_orders (status, created_at DESC, id DESC);
CREATE INDEX archived_orders_finished ON archived_orders USING brin (finished_at);

-- A key is kept as long as its order. This index finds it when the order is dropped.
CREATE INDEX idempotency_keys_order ON idempotency_keys (order_id);
