-- An order's bound (the most it may spend, the least it may receive) is fixed once, for all its venues and rounds: by the
-- client, or by the best quote of the first round. All columns belong to the order, in base units; NULL until they are
-- known. In rows of older versions they stay NULL until the next round.
ALTER TABLE orders
    ADD COLUMN min_out              numeric(20, 0),                 -- the least that is received
    ADD COLUMN max_in               numeric(20, 0),                 -- the most that is spent
    ADD COLUMN bound_open           boolean NOT NULL DEFAULT true,  -- the first quote will still fix or tighten it
    ADD COLUMN quoted_in            numeric(20, 0),                 -- the first quote
    ADD COLUMN quoted_out           numeric(20, 0),
    ADD COLUMN max_price_impact_bps integer,                        -- NULL: the worker's setting
    ADD COLUMN refusals             integer NOT NULL DEFAULT 0;     -- rounds in which every venue refused the order
ALTER TABLE archived_orders
    ADD COLUMN min_out              numeric(20, 0),
    ADD COLUMN max_in               numeric(20, 0),
    ADD COLUMN quoted_in            numeric(20, 0),
    ADD COLUMN quoted_out           numeric(20, 0),
    ADD COLUMN max_price_impact_bps integer;
