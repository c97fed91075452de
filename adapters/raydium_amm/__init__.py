"""The venue `raydium-amm`: Raydium's older constant product pools (AMM v4)."""
