"""What one WebSocket waits for: signatures that reach a commitment, and slots. Notifications are handed to `send`."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.rpc.errors import INVALID_REQUEST, RpcError
from dexexec.localnet.rpc.request import Call, Method, Node, read_commitment, with_context

MAX_SUBSCRIPTIONS = 10_000

_ids = count(1)


@dataclass(frozen=True, slots=True)
class SignatureSubscription:
    """A signature and the commitment at which its client wants to hear of it, once."""

    signature: bytes
    commitment: Commitment


class Subscriptions:
    """Of one socket. `methods` are its JSON-RPC methods."""

    def __init__(self, node: Node, send: Callable[[dict[str, Any]], None]) -> None:
        self._node, self._send = node, send
        self._signatures: dict[int, SignatureSubscription] = {}
        self._slots: set[int] = set()
        self._told = node.block(Commitment.PROCESSED)
        node.ledger.listeners.append(self._changed)
        self.methods: dict[str, Method] = {
            "signatureSubscribe": self._subscribe_signature,
            "signatureUnsubscribe": self._unsubscribe,
            "slotSubscribe": self._subscribe_slot,
            "slotUnsubscribe": self._unsubscribe,
        }

    def close(self) -> None:
        """Nobody listens any more."""
        self._node.ledger.listeners.remove(self._changed)

    def catch_up(self) -> None:
        """Tell what was there before it was asked for; to be called once the client has its subscription's number."""
        self._tell_signatures(None)

    def _subscribe_signature(self, call: Call) -> int:
        waiting = SignatureSubscription(call.signature(0, "signature"), read_commitment(call.options(1)))
        number = self._number()
        self._signatures[number] = waiting
        return number

    def _subscribe_slot(self, _: Call) -> int:
        number = self._number()
        self._slots.add(number)
        return number

    def _unsubscribe(self, call: Call) -> bool:
        number = call.integer(0, "subscription")
        if number not in self._signatures and number not in self._slots:
            raise RpcError(INVALID_REQUEST, "Invalid subscription id.")
        self._signatures.pop(number, None)
        self._slots.discard(number)
        return True

    def _number(self) -> int:
        if len(self._signatures) + len(self._slots) >= MAX_SUBSCRIPTIONS:
            raise RpcError(INVALID_REQUEST, f"Too many subscriptions; max {MAX_SUBSCRIPTIONS}")
        return next(_ids)

    def _changed(self, landed: bytes | None) -> None:
        self._tell_signatures(landed)
        tip = self._node.block(Commitment.PROCESSED)
        if landed is None and tip != self._told:
            self._tell_slot(tip)

    def _tell_signatures(self, landed: bytes | None) -> None:
        for number, waiting in list(self._signatures.items()):
            if landed not in {None, waiting.signature}:
                continue
            view = self._node.block(waiting.commitment)
            found = self._node.ledger.transaction(waiting.signature, view)
            if found is not None:
                del self._signatures[number]
                self._notify("signature", number, with_context(view, {"err": found.err}))

    def _tell_slot(self, tip: Block) -> None:
        root = self._node.block(Commitment.FINALIZED).slot
        for number in self._slots:
            self._notify("slot", number, {"slot": tip.slot, "parent": self._told.slot, "root": root})
        self._told = tip

    def _notify(self, kind: str, number: int, result: Any) -> None:
        params = {"result": result, "subscription": number}
        self._send({"jsonrpc": "2.0", "method": f"{kind}Notification", "params": params})
