"""Signed bytes on their way to the nodes.

They go to all nodes at once, and without preflight: the engine has just simulated this very message. No answer proves
anything. A front may pass the bytes on and then answer whatever error it likes, so what became of them is asked of the
chain (`dexexec.settlement.solana.rpc.signature_status`).
"""

from dexexec.domain.swap import Accepted, SignedSwap, SubmitAnswer, Unknown
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.node import NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.node_pool import NodePool


async def submit(nodes: NodePool, signed: SignedSwap, grace: float) -> SubmitAnswer:
    """Send the bytes; slower nodes get `grace` seconds more once one has answered. Never raises."""
    try:
        answers = await nodes.everywhere(methods.send(signed.payload), grace)
    except (NodeUnavailableError, NodeRefusedError) as error:
        return Unknown(str(error))
    if any(answered == signed.signature for _, answered in answers):
        return Accepted()
    names = ", ".join(node.name for node, _ in answers)
    return Unknown(f"{names} took it for a transaction with another signature")
