-- The paper ledger sums dry runs, which are few among all orders.
CREATE INDEX orders_dry ON orders (finished_at) WHERE dry_run AND finished_at IS NOT NULL;
CREATE INDEX archived_orders_dry ON archived_orders (finished_at) WHERE dry_run;
