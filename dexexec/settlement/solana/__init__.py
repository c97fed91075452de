"""Settlement on Solana: compile, guard, sign, send, and find out what became of it."""
