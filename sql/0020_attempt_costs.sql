-- What each attempt that is on the chain cost: one row, written with its outcome. Sums over a time read only this table,
-- neither orders nor the archive. An order's rows are deleted when the order is dropped from the archive.
CREATE TABLE attempt_costs (
    order_id       uuid NOT NULL,
    n              integer NOT NULL,
    at             timestamptz NOT NULL,  -- when the outcome was proven
    venue          text NOT NULL,
    tag            text,
    landed         boolean NOT NULL,      -- else it failed on the chain
    -- Lamports. NULL: not recorded. Without precision, so that no answer of a node can be too large for the row.
    fee            numeric NOT NULL,
    base_fee       numeric,
    priority_fee   numeric,
    rent_paid      numeric,
    rent_returned  numeric,
    -- Base units of the mint beside them. NULL: none, or not recorded.
    venue_fee      numeric,
    venue_fee_mint text,
    slippage       numeric,
    venue_slippage numeric,
    slippage_mint  text,
    PRIMARY KEY (order_id, n)
);
CREATE INDEX attempt_costs_at ON attempt_costs (at);

-- The attempts that are there. Proofs of older versions have no cost: of a failure they have the fee, and the fee of a swap
-- is in an event of its order.
INSERT INTO attempt_costs
SELECT o.order_id, o.n, o.at, o.venue, o.tag, o.landed, c.fee, "baseFee", "priorityFee", "rentPaid", "rentReturned",
       "venueFee", "venueFeeMint", slippage, "venueSlippage", "slippageMint"
FROM (
    SELECT a.order_id, n, coalesce(resolved_at, a.created_at) AS at, a.venue, tag, outcome = 'landed' AS landed, proof,
           quote, (SELECT max(detail ->> 'networkFee') FROM order_events e WHERE e.order_id = a.order_id
                   AND e.detail ->> 'txHash' = a.signature AND e.status = 'confirmed') AS event_fee
    FROM attempts a JOIN orders ON id = a.order_id WHERE outcome IN ('landed', 'failed')
    UNION ALL
    SELECT id, (t ->> 'n')::int, coalesce(t ->> 'resolved_at', t ->> 'created_at')::timestamptz, t ->> 'venue', tag,
           t ->> 'outcome' = 'landed', (t -> 'proof')::jsonb, (t -> 'quote')::jsonb,
           (SELECT max(e -> 'detail' ->> 'networkFee') FROM json_array_elements(events) e
            WHERE e -> 'detail' ->> 'txHash' = t ->> 'signature' AND e ->> 'status' = 'confirmed')
    FROM archived_orders, json_array_elements(tries) t WHERE t ->> 'outcome' IN ('landed', 'failed')
) o, jsonb_to_record(CASE WHEN proof ? 'cost' THEN proof -> 'cost' ELSE jsonb_strip_nulls(jsonb_build_object(
    'fee', coalesce(proof ->> 'fee', event_fee, '0'),
    'venueFee', CASE WHEN landed THEN quote ->> 'fee' END,
    'venueFeeMint', CASE WHEN landed THEN quote ->> 'feeMint' END)) END)
AS c(fee numeric, "baseFee" numeric, "priorityFee" numeric, "rentPaid" numeric, "rentReturned" numeric, "venueFee" numeric,
     "venueFeeMint" text, slippage numeric, "venueSlippage" numeric, "slippageMint" text);
