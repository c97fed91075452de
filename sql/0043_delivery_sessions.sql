-- Which process tries a delivery, and on how many days a webhook failed (docs/adr/0060-a-dead-deliverer-is-noticed.md).

ALTER TABLE webhook_deliveries
    ADD COLUMN lease_holder integer;            -- the session lock of the process that has the lease

ALTER TABLE webhooks
    ADD COLUMN last_failure_at timestamptz,     -- of an event; test messages do not count
    ADD COLUMN failing_days    integer NOT NULL DEFAULT 0; -- calendar days with a failed try since the last success
