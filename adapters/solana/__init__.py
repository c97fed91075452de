"""Solana accounts, addresses and instructions as adapters read and build them."""
