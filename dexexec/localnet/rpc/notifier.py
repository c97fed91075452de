"""Sends the notifications of one WebSocket, as the faults of its node have it."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dexexec.localnet.rpc.request import Node

SLOT_FIELDS = ("slot", "parent", "root")


@dataclass(frozen=True, slots=True)
class Delayed:
    """A message, and the slot from which it may be sent."""

    due: int
    message: dict[str, Any]


class Notifier:
    """Messages go to `send`, in the order in which they were given."""

    def __init__(self, node: Node, send: Callable[[dict[str, Any]], None]) -> None:
        self._node = node
        self._send = send
        self._delayed: deque[Delayed] = deque()

    def notify(self, kind: str, number: int, result: Any, *, about: str = "") -> None:
        """Notifies subscription `number`. `about` is the address that it is of, if it has one."""
        faults = self._node.faults.notifications
        if faults.frozen or about in faults.silent:
            return
        params = {"result": _moved(result, self._node.faults.lies.notified_slot), "subscription": number}
        message = {"jsonrpc": "2.0", "method": f"{kind}Notification", "params": params}
        # Behind delayed messages a message waits too: notifications never overtake each other.
        if faults.delay or self._delayed:
            self._delayed.append(Delayed(self._tip() + faults.delay, message))
        else:
            self._send(message)

    def send_due(self) -> None:
        """Sends delayed messages that are due; all of them once the fault is over."""
        delay = self._node.faults.notifications.delay
        while self._delayed and (not delay or self._delayed[0].due <= self._tip()):
            self._send(self._delayed.popleft().message)

    def _tip(self) -> int:
        return self._node.ledger.blocks.tip.slot


def _moved(result: Any, offset: int) -> Any:
    """A result with false slots."""
    if not offset:
        return result
    if not isinstance(result, Mapping):
        return max(0, result + offset)  # a root is only a number
    if "context" in result:
        return {**result, "context": {"slot": max(0, result["context"]["slot"] + offset)}}
    return {name: max(0, value + offset) if name in SLOT_FIELDS else value for name, value in result.items()}
