-- Lamports that an attempt paid beside the fee so that it lands. NULL: not recorded, as nothing was paid before.
ALTER TABLE attempt_costs ADD COLUMN tip numeric;
