"""Which chain each node is of: looked at before anything that the node says counts, and again now and then.

A node may be away when the others are compared, and come back as one of another chain; or another one is put behind its
address. Whatever it says of heights and signatures would be true, and of a chain that has nothing to do with ours.
"""

from collections.abc import Sequence

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc.node import Node, NodeUnavailableError
from dexexec.venue import BadAnswer

VALID_SECONDS = 60.0
"""How long a node is known to be of our chain, or of another one, until it is asked again."""


class WrongChainError(NodeUnavailableError):
    """The node is of another chain: nothing that it says is about ours."""

    def __init__(self, message: str) -> None:
        super().__init__(message, BadAnswer, sent=False)


class GenesisCheck:
    """The genesis hash of our chain, and which nodes have shown it. Nothing is looked at until the chain is `ours`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ours: str | None = None
        self._known: dict[Node, float] = {}
        self._foreign: dict[Node, tuple[str, float]] = {}

    def is_ours(self, genesis: str, nodes: Sequence[Node]) -> None:
        """This is our chain, as these nodes say."""
        self.ours = genesis
        for node in nodes:
            self.meet(node, genesis)

    def meet(self, node: Node, genesis: str) -> None:
        """Take note of the chain that a node is of. Raises `WrongChainError` when that is another one than ours."""
        now = self._clock.monotonic()
        if genesis == self.ours:
            self._foreign.pop(node, None)
            self._known[node] = now
            return
        self._known.pop(node, None)
        self._foreign[node] = (genesis, now)
        self._refuse(node, genesis)

    def forget(self, node: Node) -> None:
        """The node failed: what comes back behind its address may be another one."""
        self._known.pop(node, None)

    def is_open(self, node: Node) -> bool:
        """Whether the node has to be asked. Raises `WrongChainError` for one that was of another chain just now."""
        if self.ours is None:
            return False
        genesis, seen = self._foreign.get(node, ("", 0.0))
        if genesis and self._clock.monotonic() - seen < VALID_SECONDS:
            self._refuse(node, genesis)
        known = self._known.get(node)
        return known is None or self._clock.monotonic() - known >= VALID_SECONDS

    def _refuse(self, node: Node, genesis: str) -> None:
        raise WrongChainError(
            f"{node.name} is of another chain (genesis hash {genesis}, ours is {self.ours}): it is not used"
        )
