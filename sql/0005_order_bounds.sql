-- What an order may cost and bring at worst is fixed once, for all its venues and rounds: by the client, or by the first
-- round's best quote. All columns are of the order, in base units; NULL until they are known. In rows that an older
-- version wrote they stay NULL until the next round.
ALTER TABLE orders
    ADD COLUMN min_out              numeric(20, 0),                 -- the least that is received
    ADD COLUMN max_in               numeric(20, 0),                 -- the most that is spent
    ADD COLUMN bound_open           boolean NOT NULL DEFAULT true,  -- the first quote has still to fix or tighten it
    ADD COLUMN quoted_in            numeric(20, 0),                 -- the first quote
    ADD COLUMN quoted_out           numeric(20, 0),
    ADD COLUMN max_price_impact_bps integer,                        -- NULL: as the worker's setting has it
    ADD COLUMN refusals             integer NOT NULL DEFAULT 0;     -- rounds in which every venue refused the order
ALTER TABLE archived_orders
    ADD COLUMN min_out              numeric(20, 0),
    ADD COLUMN max_in               numeric(20, 0),
    ADD COLUMN quoted_in            numeric(20, 0),
    ADD COLUMN quoted_out           numeric(20, 0),
    ADD COLUMN max_price_impact_bps integer;
