-- What the record is called, which Postgres it is in, and how far that was compared with the chain.

-- Which Postgres answers: its system identifier and its timeline, which a promoted standby starts anew. The timeline is
-- that of the log that is written now: pg_control_checkpoint() tells it only after the next checkpoint. What a role may
-- not ask, or a service does not have, is left out.
CREATE FUNCTION record_identity() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    system text := '';
    timeline text := '';
BEGIN
    BEGIN
        system := (SELECT system_identifier::text FROM pg_control_system());
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN NULL;
    END;
    BEGIN
        timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN NULL;
    END;
    RETURN system || '/' || timeline;
END
$$;

-- One row. Copies and backups keep the name, so that each transaction's memo can be told to be of this record.
CREATE TABLE installation (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    name     text NOT NULL DEFAULT substr(gen_random_uuid()::text, 1, 8),
    identity text NOT NULL DEFAULT record_identity(),   -- where it was made
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO installation DEFAULT VALUES;

-- Per chain and wallet: the Postgres whose record has all that the chain has. Where that is not the one that answers, or
-- a comparison is begun, nothing is signed.
CREATE TABLE chain_comparisons (
    genesis     text NOT NULL,
    wallet      text NOT NULL,
    identity    text,
    compared_at timestamptz,
    pending     text,           -- the identity that a comparison was begun for
    dead_height bigint,         -- past this finalized height nothing can land that was signed before
    back_to     bigint,         -- Unix seconds: what is older on chain is in the record for certain
    stopped_at  timestamptz,    -- when a worker last said that it may not sign
    PRIMARY KEY (genesis, wallet)
);
