-- When a comparison was begun, for the bound on how far a chain can have come since. NULL where an older version began it:
-- then it counts from the next look on.
ALTER TABLE chain_comparisons ADD COLUMN begun_at timestamptz;
