-- Transactions that a client signs (docs/adr/0037-a-client-signs-and-the-service-lands.md). An order of a client's own wallet has the wallet
-- name `@ADDRESS`. Its newest transaction, and the client's signature once it is there; the attempt is recorded after that.

CREATE TABLE handouts (
    order_id          uuid PRIMARY KEY,
    n                 integer NOT NULL,         -- the number of the attempt that it becomes
    venue             text NOT NULL,
    message           bytea NOT NULL,           -- what all signers sign
    signers           text[] NOT NULL,          -- in the order of their signatures, the client first
    cosigned          jsonb NOT NULL,           -- signatures of other signers that the venue gave, base64 by address
    last_valid_height bigint NOT NULL,
    network           text NOT NULL,
    genesis           text NOT NULL,
    quote             jsonb NOT NULL,
    spends            jsonb NOT NULL,
    most_in           numeric(20, 0) NOT NULL,
    impact_ppm        bigint,
    made_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    signature         bytea                     -- of the client
);
