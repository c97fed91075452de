"""dexexec: a self-hosted execution service for DEX orders on Solana.

Where to start reading: `docs/ARCHITECTURE.md` follows one order from the POST to its last event.
"""

__version__ = "0.1.0"
