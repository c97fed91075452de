"""Checks by their genesis hashes that all nodes serve our chain: before their first answer counts, and once a minute.

A node may be down when the nodes are compared at the start and come back on another chain. Its heights and signatures
would then be right for that chain and wrong for this one.
"""

from collections.abc import Sequence

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import NodeUnavailableError
from dexexec.venue import BadAnswer

VALID_SECONDS = 60.0
"""How long the result of a check holds, good or bad."""


class WrongChainError(NodeUnavailableError):
    """The node serves another chain: none of its answers can be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, BadAnswer, sent=False)


class GenesisCheck:
    """The expected genesis hash, and which nodes have shown it. Nothing is checked until a hash is expected."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.expected: str | None = None
        self._confirmed_at: dict[Node, float] = {}
        self._wrong: dict[Node, tuple[str, float]] = {}

    def expect(self, genesis: str, nodes: Sequence[Node]) -> None:
        """Sets the expected hash, which these nodes have shown."""
        self.expected = genesis
        for node in nodes:
            self.record(node, genesis)

    def record(self, node: Node, genesis: str) -> None:
        """Records the hash that a node has shown. Raises `WrongChainError` if it is not the expected one."""
        now = self._clock.monotonic()
        if genesis == self.expected:
            self._wrong.pop(node, None)
            self._confirmed_at[node] = now
            return
        self._confirmed_at.pop(node, None)
        self._wrong[node] = (genesis, now)
        self._refuse(node, genesis)

    def forget(self, node: Node) -> None:
        """Requires a new check after a failure: another node may have taken over the address."""
        self._confirmed_at.pop(node, None)

    def is_due(self, node: Node) -> bool:
        """Whether the node must be checked now. Raises `WrongChainError` if its last check failed recently."""
        if self.expected is None:
            return False
        now = self._clock.monotonic()
        genesis, seen_at = self._wrong.get(node, ("", 0.0))
        if genesis and now - seen_at < VALID_SECONDS:
            self._refuse(node, genesis)
        confirmed_at = self._confirmed_at.get(node)
        return confirmed_at is None or now - confirmed_at >= VALID_SECONDS

    def _refuse(self, node: Node, genesis: str) -> None:
        raise WrongChainError(
            f"{node.name} serves another chain and is not used: its genesis hash is {genesis}, not {self.expected}"
        )
