"""A feed of accounts: their changes from the WebSocket of one node, and reads that check them at another one."""

from collections.abc import Callable, Sequence

from dexexec.clock import Clock
from dexexec.domain.solana import Accounts
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.account_subscriptions import AccountListener, AccountSubscriptions
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_pool import NodePool
from dexexec.settlement.solana.rpc.subscription_socket import SubscriptionSocket, WebSocketListener


class AccountFeed:
    """The changes of watched accounts, while `run` runs. `timeout` limits one connection attempt, in seconds."""

    def __init__(
        self, nodes: NodePool, listener: AccountListener, clock: Clock, reports: WebSocketListener, timeout: float
    ) -> None:
        self._nodes = nodes
        self.subscriptions = AccountSubscriptions(listener, clock, nodes.commitments.name)
        order: Callable[[], list[Node]] = lambda: nodes.order  # noqa: E731 - a list that changes
        self._socket = SubscriptionSocket(self.subscriptions, order, clock, reports, timeout)

    @property
    def node(self) -> str:
        """The name of the node that notifies; empty without a connection."""
        return self._socket.node.name if self._socket.node else ""

    def clean(self, message: str) -> str:
        """A message of the node without the secrets of its URL."""
        return self._socket.node.clean(message) if self._socket.node else ""

    async def read(self, addresses: Sequence[str]) -> Accounts:
        """The accounts, preferably from another node than the one that notifies, so that one node alone cannot keep an
        old value. Raises `NodeUnavailableError`, `NodeRefusedError`."""
        others = [node for node in self._nodes.order if node is not self._socket.node]
        return await self._nodes.call(methods.accounts(addresses), others[0] if others else None, fresh=True)

    async def run(self) -> None:
        """Keeps a connection while anything is watched, until cancelled."""
        await self._socket.run()
