"""The venue `meteora-dlmm`: Meteora DLMM pools on Solana."""
