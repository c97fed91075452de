"""The guard: checks every transaction before the wallet signs it."""
