-- Webhooks of clients, and which of their deliveries happened (docs/adr/0050-webhooks-are-rows.md).

CREATE TABLE webhooks (
    id                  uuid PRIMARY KEY,
    owner               integer,                -- the key whose it is; NULL: of no key, as orders
    all_orders          boolean NOT NULL,       -- events of the orders of all keys, and not only of the owner's
    name                text NOT NULL,
    url                 text NOT NULL,          -- may be a secret in itself; empty once removed
    statuses            text[] NOT NULL,        -- empty: all
    secret              text NOT NULL,          -- signs, so it is kept as it is; empty once removed
    former_secret       text,                   -- signs beside it until then, after a rotation
    former_secret_until timestamptz,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at         timestamptz,
    disabled_why        text NOT NULL DEFAULT '',
    removed_at          timestamptz,            -- its deliveries are deleted page by page, and the row last
    position            text NOT NULL,          -- deliveries are planned of all events up to here
    planned_until       timestamptz NOT NULL DEFAULT clock_timestamp(), -- all events committed before are planned
    replay_position     text,                   -- events behind it are planned again, until the end of the stream
    replay_requested_at timestamptz,
    failures            integer NOT NULL DEFAULT 0, -- failed tries since the last success
    failing_since       timestamptz,
    paused_until        timestamptz             -- no try before
);
CREATE UNIQUE INDEX webhooks_name ON webhooks (coalesce(owner, 0), name) WHERE removed_at IS NULL;

CREATE TABLE webhook_deliveries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook      uuid NOT NULL REFERENCES webhooks,
    order_id     uuid NOT NULL,                 -- of a test message a number of its own
    seq          integer NOT NULL,              -- of a test message 0
    type         text NOT NULL,
    payload      text NOT NULL,                 -- the body, the same in each try
    tries        integer NOT NULL DEFAULT 0,
    planned_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(), -- no try before
    give_up_at   timestamptz NOT NULL,          -- the last try is about then
    delivered_at timestamptz,
    failed_at    timestamptz,
    answer       text NOT NULL DEFAULT '',      -- of the last try, in words
    lease        text,                          -- of the try in flight, and until when no other may begin
    lease_until  timestamptz,
    UNIQUE (webhook, order_id, seq)
);
-- What waits: by when it is due, and by order, since only the first of an order may be sent.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_at)
    WHERE delivered_at IS NULL AND failed_at IS NULL;
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook, order_id, seq)
    WHERE delivered_at IS NULL AND failed_at IS NULL;
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (webhook) WHERE lease IS NOT NULL;
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (webhook, id) WHERE failed_at IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (webhook, id);
-- For retention.
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (coalesce(delivered_at, failed_at))
    WHERE delivered_at IS NOT NULL OR failed_at IS NOT NULL;
