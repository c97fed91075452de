-- Recurring orders: how many of a parent's slices were made, left out, ended and filled, and the sums of their fills
-- (dexexec/domain/slice_progress.py). Kept in the row, since old slices leave the archive while their parent still lives.
ALTER TABLE orders ADD COLUMN progress jsonb;
ALTER TABLE archived_orders ADD COLUMN progress jsonb;

-- The sum of many fills may be more than one token account can hold.
ALTER TABLE orders ALTER COLUMN amount_in TYPE numeric, ALTER COLUMN amount_out TYPE numeric;
ALTER TABLE archived_orders ALTER COLUMN amount_in TYPE numeric, ALTER COLUMN amount_out TYPE numeric;

-- The end of a recurring order must be followed up as well: what it still has open must not be bought.
DROP INDEX orders_follow_up;
CREATE INDEX orders_follow_up ON orders (finished_at)
    WHERE finished_at IS NOT NULL AND followed_up_at IS NULL
      AND (oco_group IS NOT NULL OR parent IS NOT NULL OR terms ? 'bracket' OR type = 'recurring');
