-- New pools of the pairs that snipers wait for, as the adapters read them from the chain. A worker executes a sniper only
-- in pools that are here and fulfil its conditions. An address is launched once, however often it is reported.
CREATE TABLE launches (
    pool        text PRIMARY KEY,
    venue       text NOT NULL,
    mints       text[] NOT NULL,                                  -- both, sorted
    tokens      jsonb NOT NULL,                                   -- as last read: reserves, decimals, authorities, fees
    slot        bigint NOT NULL,                                  -- of that reading
    launched_at timestamptz NOT NULL,                             -- swaps are possible from then on
    first_seen  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX launches_mints ON launches (mints);
CREATE INDEX launches_first_seen ON launches (first_seen);

-- One entry per resting sniper, so that the pairs that are waited for are found without reading other orders.
CREATE INDEX orders_snipers ON orders (input_mint, output_mint, rested_xid) WHERE resting AND type = 'sniper';
