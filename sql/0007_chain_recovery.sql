-- The name of the record, the Postgres that it is in, and the state of its comparison with the chain.

-- The identity of this Postgres: its system identifier and its timeline, which a promoted standby starts anew. The timeline
-- is that of the log that is written now: pg_control_checkpoint() returns it only after the next checkpoint. A part that the
-- role may not read, or a managed service does not have, is left empty.
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

-- One row. Copies and backups keep the name, so each transaction's memo shows that it belongs to this record.
CREATE TABLE installation (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    name     text NOT NULL DEFAULT substr(gen_random_uuid()::text, 1, 8),
    identity text NOT NULL DEFAULT record_identity(),   -- the Postgres that it was created in
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO installation DEFAULT VALUES;

-- Per chain and wallet: the Postgres whose record has everything that the chain has. If this is another Postgres, or a
-- comparison has begun, nothing is signed.
CREATE TABLE chain_comparisons (
    genesis     text NOT NULL,
    wallet      text NOT NULL,
    identity    text,
    compared_at timestamptz,
    pending     text,           -- the identity that a comparison was begun for
    dead_height bigint,         -- past this finalized height, earlier transactions can no longer land
    back_to     bigint,         -- Unix seconds: older transactions on chain are certainly in the record
    stopped_at  timestamptz,    -- when a worker last reported that it may not sign
    PRIMARY KEY (genesis, wallet)
);
