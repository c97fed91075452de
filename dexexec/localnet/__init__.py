"""A Solana for development in one process: JSON-RPC and WebSocket over a real runtime (LiteSVM), stored on disk.

`ledger` is the chain: it executes in `runtime`, stores in `journal` and keeps recent blocks in `blocks`. `rpc` serves
it like a validator, and `faults` lets tests make it misbehave. Only this package needs the `solana` extra.
"""
