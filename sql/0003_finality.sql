-- A swap is confirmed before it is final: until then its attempt stays open, and its `proof` has the slot in which it was
-- seen. finished_at is set at finality, so an order that is confirmed and not finished may still be taken back.
ALTER TABLE orders ADD COLUMN finalized_at timestamptz;
