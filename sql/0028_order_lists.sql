-- The list of orders filters by venue, reason, pair, kind, tag, group and wallet, also among a million orders: each filter
-- has an index in the order of the list.

-- `venue` and `failure_reason` change while an order is executed, and an index on them would make every step of it write
-- all the others (no HOT update). These columns change once, at the end, as `ended` does. Orders that have not ended are
-- found by their own small indexes.
ALTER TABLE orders
    ADD COLUMN ended_venue  text GENERATED ALWAYS AS (CASE WHEN finished_at IS NOT NULL THEN venue END) STORED,
    ADD COLUMN ended_reason text GENERATED ALWAYS AS (CASE WHEN finished_at IS NOT NULL THEN failure_reason END) STORED;
CREATE INDEX orders_venue ON orders (ended_venue, created_at DESC, id DESC) WHERE ended_venue IS NOT NULL;
CREATE INDEX orders_reason ON orders (ended_reason, created_at DESC, id DESC) WHERE ended_reason IS NOT NULL;
CREATE INDEX orders_pair ON orders (input_mint, output_mint, created_at DESC, id DESC);
-- An expression, so that the planner takes this index for no statement but the list: one that looks for recurring orders
-- that are due would read all those that have ended.
CREATE INDEX orders_kind ON orders ((type || CASE WHEN dry_run THEN ' dry' ELSE '' END), created_at DESC, id DESC);
CREATE INDEX orders_tag ON orders (tag, created_at DESC, id DESC) WHERE tag IS NOT NULL;
CREATE INDEX orders_wallet ON orders (wallet, created_at DESC, id DESC) WHERE wallet IS NOT NULL;

CREATE INDEX archived_orders_venue ON archived_orders (venue, created_at DESC, id DESC) WHERE venue IS NOT NULL;
CREATE INDEX archived_orders_reason ON archived_orders (failure_reason, created_at DESC, id DESC)
    WHERE failure_reason IS NOT NULL;
CREATE INDEX archived_orders_pair ON archived_orders (input_mint, output_mint, created_at DESC, id DESC);
CREATE INDEX archived_orders_kind
    ON archived_orders ((type || CASE WHEN dry_run THEN ' dry' ELSE '' END), created_at DESC, id DESC);
CREATE INDEX archived_orders_tag ON archived_orders (tag, created_at DESC, id DESC) WHERE tag IS NOT NULL;
CREATE INDEX archived_orders_wallet ON archived_orders (wallet, created_at DESC, id DESC) WHERE wallet IS NOT NULL;
CREATE INDEX archived_orders_oco_group ON archived_orders (oco_group) WHERE oco_group IS NOT NULL;
