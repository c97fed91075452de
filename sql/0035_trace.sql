-- The trace of the request that posted an order (W3C traceparent), so that each process which works on the order goes on
-- with it. Only while traces are exported; an archived order needs none any more.
ALTER TABLE orders ADD COLUMN traceparent text;
