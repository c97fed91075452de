"""Solana over JSON-RPC: the chain that swaps really settle on, asked through one or several nodes.

A node may be slow, rate-limited, behind, or a crowd behind one address. So what a node does not know proves something
only where its own answers show that it should have known: see `looking`. And bytes that were sent are never taken for
refused because somebody else refused them: see `sending`.
"""

from dexexec.settlement.solana.rpc.chain import Localnet, RpcChain

__all__ = ["Localnet", "RpcChain"]
