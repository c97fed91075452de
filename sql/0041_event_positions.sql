-- One stream of the events of all orders (docs/adr/0049). An event's position never changes, and no event is ever committed
-- below a position that a reader has passed: a reader passes only what is older than every open transaction.

-- Added to the number of a transaction, so that positions go on growing in a Postgres whose numbers are smaller: after a
-- restore, `settle_positions` raises it. As a function it costs an insert nothing: the planner replaces it by the number.
CREATE FUNCTION event_base() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 0::bigint';

-- Events of before this migration have no position, and are not in the stream.
ALTER TABLE order_events ADD COLUMN position bigint;
ALTER TABLE order_events ALTER COLUMN position SET DEFAULT event_base() + pg_current_xact_id()::text::bigint;
CREATE INDEX order_events_position ON order_events (position) WHERE position IS NOT NULL;

-- For a writer whose transaction may be older than the order's last event: it got its number first, and then waited for the
-- lock of the order's row. Its event must not come before that one. Volatile: it sees what was committed during the wait.
CREATE FUNCTION event_position(of_order uuid, next integer) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN greatest(
        event_base() + pg_current_xact_id()::text::bigint,
        (SELECT e.position FROM order_events e WHERE e.order_id = of_order AND e.seq < next ORDER BY e.seq DESC LIMIT 1));
END
$$;

-- The last event in the stream that was moved to the archive: one row, or none while nothing was moved.
CREATE TABLE archived_events (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    position bigint NOT NULL,
    order_id uuid NOT NULL,
    seq      integer NOT NULL,
    at       timestamptz NOT NULL
);
