"""Solana over JSON-RPC: the chain that swaps settle on, through one or several nodes.

A node may be slow, rate-limited or behind, may lie, or may be several behind one address. So an answer proves something
only together with the node's other answers (`node_trust`, `status_quorum`), and no answer to a send proves anything.
"""

from dexexec.settlement.solana.rpc.chain import Localnet, RpcChain

__all__ = ["Localnet", "RpcChain"]
