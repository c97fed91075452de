-- The row of an open attempt reserves what the attempt may still take from the wallet: base units by mint, '' for lamports.
-- So a reservation begins and ends with its attempt, in the same commit. Attempts of chains without balances have none.
ALTER TABLE attempts ADD COLUMN wallet text, ADD COLUMN spends jsonb;
CREATE INDEX attempts_of_wallet ON attempts (wallet, resolved_at) WHERE wallet IS NOT NULL;
