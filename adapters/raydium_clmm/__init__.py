"""The venue `raydium-clmm`: pools with concentrated liquidity of Raydium's CLMM program on Solana."""
