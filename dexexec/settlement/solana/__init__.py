"""Settlement on Solana: compiles, checks and signs transactions, sends them, and looks up their statuses."""
