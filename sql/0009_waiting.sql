-- What an order that stands still waits for: {"reason", "detail", "since"}. Its worker writes it under its claim when
-- that changes, and the next step clears it. Of orders that rest between two steps the last event says it.
ALTER TABLE orders ADD COLUMN waiting jsonb;

-- Where an attempt's transaction was signed for, and is sent and looked up: the network, and the hash of its genesis block
-- where it has one. NULL in rows that an older version wrote.
ALTER TABLE attempts ADD COLUMN network text, ADD COLUMN genesis text;
