"""Waits for signature notifications over WebSocket. A notification only triggers a status lookup; it is never proof.

Settlement waits here between two status lookups of a sent swap. One connection serves all waiting tasks. Without a
connection, or without a subscription, the wait ends after the same pauses as on a chain without notifications.
"""

from collections.abc import Callable

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc.event_wait import wait_for_event
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.signature_subscriptions import SignatureSubscriptions
from dexexec.settlement.solana.rpc.subscription_socket import SubscriptionSocket, WebSocketListener


class SignatureNotifications:
    """The notifications of one chain, while `run` runs.

    `nodes` returns the nodes in order of preference; `timeout` limits one connection attempt, in seconds.
    """

    def __init__(
        self,
        subscriptions: SignatureSubscriptions,
        nodes: Callable[[], list[Node]],
        clock: Clock,
        listener: WebSocketListener,
        timeout: float,
    ) -> None:
        self._clock = clock
        self._subscriptions = subscriptions
        self._socket = SubscriptionSocket(subscriptions, nodes, clock, listener, timeout)

    async def wait(self, signature: str, seconds: float) -> None:
        """Returns when something may have happened to `signature`, at the latest after `seconds`."""
        watched = self._subscriptions.watch(signature)
        # Without a subscription nothing would wake this task, so it polls.
        pause = seconds if watched.subscription is not None else min(seconds, watched.poll_pauses.next())
        watched.waiting_tasks += 1
        try:
            await wait_for_event(watched.wake_up, pause, self._clock)
        finally:
            watched.waiting_tasks -= 1
            watched.last_used = self._clock.monotonic()
        watched.wake_up.clear()

    async def run(self) -> None:
        """Keeps a connection while any signature is watched, until cancelled."""
        await self._socket.run()
