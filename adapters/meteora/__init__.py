"""The venue `meteora`: Meteora DAMM v2 pools on Solana."""
