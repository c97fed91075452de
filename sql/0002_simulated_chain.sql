-- The ledger of the simulated chain that the mock venues settle on: one row per swap, however often it was sent.
CREATE TABLE simulated_swaps (
    signature         text PRIMARY KEY,
    payload           bytea NOT NULL,
    sent_height       bigint NOT NULL,
    lands_at_ms       bigint NOT NULL,      -- Unix time
    last_valid_height bigint NOT NULL,
    valid_until_ms    bigint NOT NULL,
    lost              boolean NOT NULL      -- sent, but never landed
);
