"""The subscriptions of one WebSocket: signatures that reach a commitment, changed accounts of a program, slots."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.rpc.errors import INVALID_REQUEST, RpcError
from dexexec.localnet.rpc.program_subscription import ProgramSubscription
from dexexec.localnet.rpc.request import Call, Method, Node, read_commitment, with_context

MAX_SUBSCRIPTIONS = 10_000

# Unique across all sockets, as on a node.
_ids = count(1)


@dataclass(frozen=True, slots=True)
class SignatureSubscription:
    """A signature and the commitment at which its client gets its only notification."""

    signature: bytes
    commitment: Commitment


class Subscriptions:
    """The subscriptions of one socket. `methods` are its JSON-RPC methods; notifications go to `send`."""

    def __init__(self, node: Node, send: Callable[[dict[str, Any]], None]) -> None:
        self._node = node
        self._send = send
        self._signatures: dict[int, SignatureSubscription] = {}
        self._programs: dict[int, ProgramSubscription] = {}
        self._slots: set[int] = set()
        self._notified_tip = node.block(Commitment.PROCESSED)
        self.methods: dict[str, Method] = {
            "signatureSubscribe": self._subscribe_signature,
            "signatureUnsubscribe": self._unsubscribe,
            "programSubscribe": self._subscribe_program,
            "programUnsubscribe": self._unsubscribe,
            "slotSubscribe": self._subscribe_slot,
            "slotUnsubscribe": self._unsubscribe,
        }

    def catch_up(self) -> None:
        """Notifies of signatures that reached their commitment before they were subscribed. Called after the client got
        the subscription's number."""
        self._notify_signatures(None)

    def _subscribe_signature(self, call: Call) -> int:
        subscription = SignatureSubscription(call.signature(0, "signature"), read_commitment(call.options(1)))
        number = self._number()
        self._signatures[number] = subscription
        return number

    def _subscribe_program(self, call: Call) -> int:
        subscription = ProgramSubscription.of(call)
        number = self._number()
        self._programs[number] = subscription
        return number

    def _subscribe_slot(self, _: Call) -> int:
        number = self._number()
        self._slots.add(number)
        return number

    def _unsubscribe(self, call: Call) -> bool:
        number = call.integer(0, "subscription")
        if number not in {*self._signatures, *self._programs, *self._slots}:
            raise RpcError(INVALID_REQUEST, "Invalid subscription id.")
        self._signatures.pop(number, None)
        self._programs.pop(number, None)
        self._slots.discard(number)
        return True

    def _number(self) -> int:
        if len(self._signatures) + len(self._programs) + len(self._slots) >= MAX_SUBSCRIPTIONS:
            raise RpcError(INVALID_REQUEST, f"Too many subscriptions; max {MAX_SUBSCRIPTIONS}")
        return next(_ids)

    def on_change(self, landed: bytes | None) -> None:
        """Called by the ledger: a transaction landed, or (None) the chain has a new tip or a fork."""
        self._notify_signatures(landed)
        for number, subscription in list(self._programs.items()):
            for result in subscription.changes(self._node):
                self._notify("program", number, result)
        tip = self._node.block(Commitment.PROCESSED)
        if landed is None and tip != self._notified_tip:
            self._notify_slot(tip)

    def _notify_signatures(self, landed: bytes | None) -> None:
        for number, subscription in list(self._signatures.items()):
            # After a new block or a fork (None) any signature may have reached its commitment.
            if landed not in {None, subscription.signature}:
                continue
            view = self._node.block(subscription.commitment)
            transaction = self._node.ledger.transaction(subscription.signature, view)
            if transaction is not None:
                # Solana ends a signature subscription with its notification.
                del self._signatures[number]
                self._notify("signature", number, with_context(view, {"err": transaction.err}))

    def _notify_slot(self, tip: Block) -> None:
        root = self._node.block(Commitment.FINALIZED).slot
        for number in self._slots:
            self._notify("slot", number, {"slot": tip.slot, "parent": self._notified_tip.slot, "root": root})
        self._notified_tip = tip

    def _notify(self, kind: str, number: int, result: Any) -> None:
        params = {"result": result, "subscription": number}
        self._send({"jsonrpc": "2.0", "method": f"{kind}Notification", "params": params})
