"""The reference price `pyth`: prices that Pyth's publishers agree on, read from their accounts on Solana."""
