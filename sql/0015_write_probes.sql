-- `GET /readyz` writes here to check whether an order could be written. Each time it needs a new file, so a full disk fails.
CREATE TABLE write_probes (at timestamptz NOT NULL);
-- Why this worker could not execute an order now, if so; updated with each renewal of its lease.
ALTER TABLE workers ADD COLUMN trouble text;
