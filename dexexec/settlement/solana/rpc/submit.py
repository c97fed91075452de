"""Sends signed transactions to all nodes at once, without preflight: the engine has just simulated the same message.

No answer to a send proves anything. A proxy may forward the bytes and then answer with any error, so what became of
them is looked up on the chain (`signature_status`).
"""

from dexexec.domain.swap import Accepted, SignedSwap, SubmitAnswer, Unknown
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.node_errors import NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.node_pool import NodePool


async def submit(nodes: NodePool, signed: SignedSwap, grace: float) -> SubmitAnswer:
    """Sends the bytes. Slower nodes get `grace` seconds more after the first answer. Never raises."""
    try:
        answers = await nodes.everywhere(methods.send(signed.payload), grace)
    except (NodeUnavailableError, NodeRefusedError) as error:
        return Unknown(str(error))
    if any(signature == signed.signature for _, signature in answers):
        return Accepted()
    names = ", ".join(node.name for node, _ in answers)
    return Unknown(f"{names} answered with another signature")
