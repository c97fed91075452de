"""The venue `orca`: pools of Orca's Whirlpool program on Solana."""
