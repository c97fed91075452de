-- Keys of clients, what each may do, and whose an order is. Without keys the service is open, and orders have no owner.

CREATE TABLE api_keys (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    scopes       text[] NOT NULL,
    policy       jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
-- A name can be used again once its key is revoked. The orders stay with the old key.
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL;

-- While a key is rotated it has two secrets. Only digests are kept: nobody can read a secret back.
CREATE TABLE api_key_secrets (
    id         text PRIMARY KEY,                -- a part of the token, and no secret
    key_id     integer NOT NULL REFERENCES api_keys,
    digest     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz                      -- of the former secret; NULL: as long as the key
);
CREATE INDEX api_key_secrets_key ON api_key_secrets (key_id);

-- For whom nothing is signed at present.
CREATE TABLE halts (
    owner  integer PRIMARY KEY,                 -- a key; 0: everybody
    since  timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL DEFAULT ''
);

ALTER TABLE orders
    ADD COLUMN owner      integer,              -- the key that posted it; NULL: posted without one, or read back from the chain
    ADD COLUMN wallet     text,                 -- the name of the wallet that pays; NULL: the default one
    ADD COLUMN request_id text;                 -- of the request that posted it
ALTER TABLE archived_orders
    ADD COLUMN owner      integer,
    ADD COLUMN wallet     text,
    ADD COLUMN request_id text;
ALTER TABLE attempt_costs ADD COLUMN owner integer;

-- None of these columns changes during execution, so steps of orders in flight stay HOT updates.
CREATE INDEX orders_owner ON orders (owner, created_at DESC, id DESC) WHERE owner IS NOT NULL;
CREATE INDEX archived_orders_owner ON archived_orders (owner, created_at DESC, id DESC) WHERE owner IS NOT NULL;
