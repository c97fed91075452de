-- The code of each venue's programs: which may be relied on, and which is deployed (docs/adr/0055-upgraded-programs-are-quarantined.md).
-- A venue is quarantined while the two differ.

CREATE TABLE program_versions (
    genesis     text        NOT NULL,            -- of the cluster
    venue       text        NOT NULL,
    program     text        NOT NULL,            -- its address
    accepted    text        NOT NULL,            -- SHA-256 of the code that quotes may rely on
    accepted_by text        NOT NULL,            -- what accepted it: the first sight, simulated swaps, or a person
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deployed    text        NOT NULL,            -- SHA-256 of the code that was seen last; empty: it has none
    mark        text        NOT NULL,            -- of the accounts with that code: an upgrade changes it
    slot        bigint      NOT NULL,            -- of that deployment; 0 for programs that cannot be upgraded
    deployed_at timestamptz NOT NULL DEFAULT clock_timestamp(),   -- when it was seen first
    difference  text        NOT NULL DEFAULT '', -- what simulated swaps showed that keeps it in quarantine
    PRIMARY KEY (genesis, venue, program)
);
