-- Groups of orders of which at most one is filled (docs/adr/0027-one-cancels-the-other.md).

-- Which order filled a group: kept while that order is, also in the archive, where no statement that executes orders looks.
-- Dry runs are tied to dry runs only.
CREATE TABLE oco_groups (
    name      text NOT NULL,
    dry_run   boolean NOT NULL,
    filled_by uuid NOT NULL,
    filled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, dry_run)
);
CREATE INDEX oco_groups_filled_by ON oco_groups (filled_by);

-- When it was checked, under the lock of its group, that no other order has filled it: whoever fills it afterwards finds
-- this order and cancels it. The statement that stores new orders takes no lock of groups.
ALTER TABLE orders ADD COLUMN joined_at timestamptz;
CREATE INDEX orders_joining ON orders (created_at)
    WHERE oco_group IS NOT NULL AND joined_at IS NULL AND finished_at IS NULL;
