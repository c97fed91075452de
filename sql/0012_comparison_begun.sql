-- When a comparison began: this bounds how far the chain can have moved since. NULL if an older version began it; then the
-- bound counts from the next check on.
ALTER TABLE chain_comparisons ADD COLUMN begun_at timestamptz;
