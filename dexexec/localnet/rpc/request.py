"""One request to one node: reads its parameters by position, and finds the block that it sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.faults import Faults
from dexexec.localnet.ledger import Ledger
from dexexec.localnet.rpc.errors import MIN_CONTEXT_SLOT_NOT_REACHED, InvalidParamsError, RpcError

API_VERSION = "4.3.0"
"""The Agave release whose answers are reproduced."""

Method = Callable[["Call"], Any]
"""Returns the `result`, or raises `RpcError`."""


@dataclass(slots=True)
class Node:
    """A node of the cluster, as clients see it: all share the ledger, each has its own faults."""

    ledger: Ledger
    rpc_address: str | None = None
    """Host and port for HTTP."""
    pubsub_address: str | None = None
    """Host and port for WebSockets."""
    faults: Faults = field(default_factory=Faults)
    droppers: list[Callable[[str], int]] = field(default_factory=list)
    """Each ends one socket's subscriptions of an address, without a notice, and returns how many there were."""

    def block(self, commitment: Commitment) -> Block:
        """The newest block of a commitment that this node has seen."""
        return self.ledger.blocks.at(commitment, self.faults.lag)


@dataclass(frozen=True, slots=True)
class Call:
    """The parameters of one method call."""

    node: Node
    params: Sequence[Any]

    @property
    def ledger(self) -> Ledger:
        """The chain."""
        return self.node.ledger

    def optional(self, place: int) -> Any:
        """A parameter, None if it is missing."""
        # Clients may leave out trailing parameters.
        return self.params[place] if place < len(self.params) else None

    def pubkey(self, place: int, name: str) -> Pubkey:
        """A required public key."""
        return read_pubkey(self.text(place, name), name)

    def signature(self, place: int, name: str) -> bytes:
        """A required signature."""
        return read_signature(self.text(place, name), name)

    def text(self, place: int, name: str) -> str:
        """A required string."""
        value = self.optional(place)
        if not isinstance(value, str):
            raise InvalidParamsError(f"{name} must be a string (parameter {place + 1})")
        return value

    def strings(self, place: int, name: str, most: int) -> list[str]:
        """A required list of strings."""
        value = self.optional(place)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidParamsError(f"{name} must be a list of strings (parameter {place + 1})")
        if len(value) > most:
            raise InvalidParamsError(f"Too many inputs provided; max {most}")
        return value

    def integer(self, place: int, name: str, most: int = 2**64 - 1) -> int:
        """A required unsigned integer."""
        return read_integer(self.optional(place), name, most)

    def options(self, place: int) -> dict[str, Any]:
        """The object with options, empty if it is missing."""
        value = self.optional(place)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidParamsError(f"options must be an object (parameter {place + 1})")
        return value

    def view(self, options: Mapping[str, Any], key: str = "commitment") -> Block:
        """The block at the requested commitment, by default finalized. Raises `RpcError` below `minContextSlot`."""
        block = self.node.block(read_commitment(options, key))
        min_slot = options.get("minContextSlot")
        if min_slot is not None and block.slot < read_integer(min_slot, "minContextSlot"):
            message = "Minimum context slot has not been reached"
            raise RpcError(MIN_CONTEXT_SLOT_NOT_REACHED, message, {"contextSlot": block.slot})
        return block


def confirmed_view(call: Call, options: Mapping[str, Any]) -> Block:
    """The block at the requested commitment, for methods that accept no less than `confirmed`. Raises `RpcError`."""
    if read_commitment(options) is Commitment.PROCESSED:
        raise InvalidParamsError("Method does not support commitment below `confirmed`")
    return call.view(options)


def with_context(view: Block, value: Any) -> dict[str, Any]:
    """A result with the slot that it is of."""
    return {"context": {"slot": view.slot, "apiVersion": API_VERSION}, "value": value}


def notified(view: Block, value: Any) -> dict[str, Any]:
    """The result of a notification, with the slot that it is of."""
    return {"context": {"slot": view.slot}, "value": value}


def read_commitment(options: Mapping[str, Any], key: str = "commitment") -> Commitment:
    """The requested commitment, by default finalized."""
    # An explicit null counts as missing, as for a node.
    value = options.get(key) or Commitment.FINALIZED
    if value not in list(Commitment):
        raise InvalidParamsError(f"{key} must be one of {', '.join(Commitment)}, not {value!r}")
    return Commitment(value)


def read_integer(value: object, name: str, most: int = 2**64 - 1) -> int:
    """An unsigned integer, at most `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidParamsError(f"{name} must be an integer from 0 to {most}")
    return value


def read_pubkey(value: object, name: str) -> Pubkey:
    """A public key in base58."""
    try:
        return Pubkey.from_string(str(value))
    except ValueError as error:
        raise InvalidParamsError(f"{name}: {value!r} is not a public key ({error})") from error


def read_signature(value: object, name: str) -> bytes:
    """A signature in base58."""
    try:
        return bytes(Signature.from_string(str(value)))
    except ValueError as error:
        raise InvalidParamsError(f"{name}: {value!r} is not a signature ({error})") from error
