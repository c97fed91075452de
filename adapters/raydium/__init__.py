"""The venue `raydium`: Raydium CPMM pools on Solana."""
