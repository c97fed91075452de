"""Reading Solana accounts and addresses, and building instructions, for all adapters."""
