"""The name of the commitment at which nodes read what is acted on: `confirmed`, or `finalized` where both are the same.

New software may no longer have the name `confirmed`. Proofs do not depend on this: they read `finalized` everywhere
(`methods.FINALIZED`).
"""

from typing import TypeVar

from dexexec.domain.pace import Finality
from dexexec.settlement.solana.rpc.methods import MethodCall
from dexexec.settlement.solana.rpc.node import Node

T = TypeVar("T")
CONFIRMED = "confirmed"
FINALIZED = "finalized"


class Commitments:
    """The name for each node of a chain."""

    def __init__(self) -> None:
        self._final_at_once = False
        self._without_confirmed: set[Node] = set()

    def learned(self, finality: Finality) -> None:
        """Records when a confirmed block is final. Nodes that refused a name are tried again with it."""
        self._final_at_once = finality is Finality.IMMEDIATE
        self._without_confirmed.clear()

    def refuses(self, node: Node) -> None:
        """Records that a node does not have the name `confirmed`."""
        self._without_confirmed.add(node)

    def name(self) -> str:
        """The name for a new subscription at any node."""
        return FINALIZED if self._final_at_once or self._without_confirmed else CONFIRMED

    def applied(self, node: Node, call: MethodCall[T]) -> MethodCall[T]:
        """The call with the name for this node."""
        return call.finalized() if self._final_at_once or node in self._without_confirmed else call
