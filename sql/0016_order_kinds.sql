-- Orders that rest: limit orders, stops, recurring orders and snipers wait for a price, a time or a launch. A resting
-- order is nobody's work: no worker, sweeper or queue touches it until it is triggered, so the indexes that find work
-- leave it out, and 100,000 of them cost the orders in flight nothing.
ALTER TABLE orders
    ADD COLUMN type           text NOT NULL DEFAULT 'market',
    ADD COLUMN terms          jsonb,                           -- what the type adds, as clients see it
    ADD COLUMN tag            text,
    ADD COLUMN dry_run        boolean NOT NULL DEFAULT false,
    ADD COLUMN parent         uuid,                            -- of a slice of a recurring order, or a bracket's exit
    ADD COLUMN oco_group      text,                            -- one of the group cancels the others
    ADD COLUMN resting        boolean NOT NULL DEFAULT false,
    ADD COLUMN rested_xid     xid8,                            -- the transaction in which it last began to rest or was amended
    ADD COLUMN rests          integer NOT NULL DEFAULT 0,      -- how often in a row a trigger came to nothing
    ADD COLUMN quiet_until    timestamptz,                     -- not triggered before, after a trigger that came to nothing
    ADD COLUMN wake_at        timestamptz,                     -- it expires, or its next slice is due
    ADD COLUMN triggered_at   timestamptz,                     -- its stop has been reached, for good
    ADD COLUMN high_water     numeric,                         -- trailing stop: best rate seen, base units out per base unit in
    ADD COLUMN followed_up_at timestamptz;                     -- what its end means for other orders has been done
ALTER TABLE archived_orders
    ADD COLUMN type           text NOT NULL DEFAULT 'market',
    ADD COLUMN terms          jsonb,
    ADD COLUMN tag            text,
    ADD COLUMN dry_run        boolean NOT NULL DEFAULT false,
    ADD COLUMN parent         uuid,
    ADD COLUMN oco_group      text;

-- `resting` changes when an order is triggered or rests again, and not in between: the steps of an order in flight stay
-- HOT updates.
DROP INDEX orders_live;
CREATE INDEX orders_active ON orders (created_at) WHERE finished_at IS NULL AND NOT resting;
CREATE INDEX orders_resting ON orders (created_at DESC, id DESC) WHERE resting;
-- The oracle reads what has changed since its last look by transaction, since no clock orders commits.
CREATE INDEX orders_rested ON orders (rested_xid) WHERE resting;
CREATE INDEX orders_wake ON orders (wake_at) WHERE resting AND wake_at IS NOT NULL;
-- An order that ends must be followed up if others depend on it. Found by this index, so that nothing that ends an order
-- (a worker, a client's cancel, a recovered record) has to remember it.
CREATE INDEX orders_follow_up ON orders (finished_at)
    WHERE finished_at IS NOT NULL AND followed_up_at IS NULL
      AND (oco_group IS NOT NULL OR parent IS NOT NULL OR terms ? 'bracket');
CREATE INDEX orders_parent ON orders (parent) WHERE parent IS NOT NULL;
CREATE INDEX orders_oco_group ON orders (oco_group) WHERE oco_group IS NOT NULL;
CREATE INDEX archived_orders_parent ON archived_orders (parent) WHERE parent IS NOT NULL;
