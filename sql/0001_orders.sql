-- Orders, their events and their attempts; the workers that hold them.
-- There is no outbox: an order that should be moving is a row without finished_at, and the sweeper finds it.

CREATE TABLE orders (
    id             uuid PRIMARY KEY,            -- UUIDv7: grows with time, so that inserts stay on the right edge
    side           text NOT NULL,
    amount         numeric NOT NULL,            -- as the client wrote it
    venue          text,
    tx_hash        text,
    status         text NOT NULL,
    failure_reason text,                        -- a code to sort by; the last event has the sentence
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),

    mode           text NOT NULL,
    input_mint     text NOT NULL,
    output_mint    text NOT NULL,
    amount_base    numeric(20, 0) NOT NULL,     -- base units, up to 2^64 - 1
    slippage_bps   integer NOT NULL,
    deadline_at    timestamptz NOT NULL,
    client         text NOT NULL,
    amount_in      numeric(20, 0),              -- the fill, base units
    amount_out     numeric(20, 0),

    version        integer NOT NULL DEFAULT 1,  -- seq of the last event
    claim          integer NOT NULL DEFAULT 0,  -- fencing number: every write of a worker repeats it
    claims         integer NOT NULL DEFAULT 0,  -- claims since the last event
    worker         integer,                     -- the worker that holds it, while that worker's lease is valid
    rounds         integer NOT NULL DEFAULT 0,  -- rounds of quotes so far
    attempts       integer NOT NULL DEFAULT 0,  -- transactions signed
    due_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_aside_at   timestamptz,                 -- a poison order whose swap may still land
    finished_at    timestamptz
) WITH (fillfactor = 60);
-- fillfactor, and no index on a column that changes during execution: an order's updates stay on its page (HOT).

CREATE INDEX orders_newest ON orders (created_at DESC, id DESC);
CREATE INDEX orders_live ON orders (created_at) WHERE finished_at IS NULL;
CREATE INDEX orders_finished ON orders (status, created_at DESC, id DESC) WHERE finished_at IS NOT NULL;

CREATE TABLE order_events (
    order_id uuid NOT NULL,
    seq      integer NOT NULL,
    status   text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail   jsonb NOT NULL,
    PRIMARY KEY (order_id, seq)
);
-- No foreign keys to orders: events and attempts are only written by statements that hold the order's row.

CREATE TABLE attempts (
    order_id          uuid NOT NULL,
    n                 integer NOT NULL,
    venue             text NOT NULL,
    signature         text NOT NULL UNIQUE,
    payload           bytea NOT NULL,           -- the signed bytes, the only ones that may be sent again
    last_valid_height bigint NOT NULL,
    quote             jsonb NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome           text,                     -- landed, failed, rejected, unsent, expired; NULL while it is open
    resolved_at       timestamptz,
    proof             jsonb,                    -- the fill, the chain's error, or why it can never land
    PRIMARY KEY (order_id, n)
);
CREATE UNIQUE INDEX attempts_open ON attempts (order_id) WHERE outcome IS NULL;

-- Keys are not per client: a client that comes back from another address must not get a second order.
CREATE TABLE idempotency_keys (
    key        text PRIMARY KEY,
    body_hash  bytea NOT NULL,
    order_id   uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row per running worker. Renewing lease_until renews the lease of every order it holds. The worker also keeps a
-- session lock on (1, id), which ends with its process, so a crash is noticed at once.
CREATE TABLE workers (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL
);
