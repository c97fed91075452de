-- Where the bytes of an attempt were sent, and what each endpoint answered: written with its outcome, by the same statement.
-- NULL on chains without endpoints.
ALTER TABLE attempts ADD COLUMN sends jsonb;
-- For the figures of endpoints, which are read from the newest attempts. Attempts of the simulated chain are not in it.
CREATE INDEX attempts_sent ON attempts (created_at) WHERE sends IS NOT NULL;
