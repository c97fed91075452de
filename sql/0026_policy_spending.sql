-- What orders of keys with a limit per day may spend: one row per order, on the UTC day of its newest attempt, or of its
-- acceptance before the first one. What counts is read with the order: all of `amount` while it has not ended, what its
-- swap has spent afterwards, nothing without a swap. So nothing that ends an order has to remember this table.
CREATE TABLE policy_spending (
    order_id uuid PRIMARY KEY,
    owner    integer NOT NULL,
    mint     text NOT NULL,
    day      date NOT NULL,
    amount   numeric NOT NULL                   -- base units; after the order's way into the archive, what it has spent
);
CREATE INDEX policy_spending_day ON policy_spending (owner, day);

-- The orders of a key that have not ended are counted when it posts another one.
CREATE INDEX orders_open_of_owner ON orders (owner) WHERE owner IS NOT NULL AND finished_at IS NULL;
