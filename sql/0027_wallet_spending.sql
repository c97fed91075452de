-- An order counts for the limits of its key and for those of its wallet. A wallet's number is negative, a key's positive.
ALTER TABLE policy_spending DROP CONSTRAINT policy_spending_pkey, ADD PRIMARY KEY (order_id, owner);
