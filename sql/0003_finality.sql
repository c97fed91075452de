-- A swap is confirmed before it is final: until then its attempt stays open, and its `proof` says in which slot it was
-- seen. finished_at comes with finality, so an order that is confirmed and not finished may still be taken back.
ALTER TABLE orders ADD COLUMN finalized_at timestamptz;
