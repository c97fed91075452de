-- What an order that makes no progress waits for: {"reason", "detail", "since"}. Its worker writes it under its claim when
-- that changes, and the next step clears it. For orders that rest between two rounds the last event has the reason.
ALTER TABLE orders ADD COLUMN waiting jsonb;

-- The chain that an attempt's transaction was signed for, and is sent and looked up on: the network, and its genesis hash
-- if it has one. NULL in rows of older versions.
ALTER TABLE attempts ADD COLUMN network text, ADD COLUMN genesis text;
