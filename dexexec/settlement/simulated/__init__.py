"""The simulated chain, its signer, and its ledger in Postgres."""
