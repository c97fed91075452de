"""Falsifies the answers of a node when a test sets that: from the true result to the one that is sent. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dexexec.localnet.rpc.errors import InvalidParamsError

MAX_OFFSET = 10**9
"""Blocks or slots by which a false number may differ from the true one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lies:
    """What a node reports falsely.

    `height`, `last_valid_height`, `slot` are added to block heights, last valid heights and slots. `slot_for_height`:
    the slot is reported as block height. `notified_slot` is added to the slots of notifications. `finalized`, `failed`:
    every known transaction is reported as final, or as failed. `genesis`: another genesis hash.
    """

    height: int = 0
    last_valid_height: int = 0
    slot: int = 0
    slot_for_height: bool = False
    notified_slot: int = 0
    finalized: bool = False
    failed: bool = False
    genesis: str = ""

    def falsify(self, method: str, result: Any) -> Any:
        """The result to send in place of the true `result` of a method."""
        falsify = _FALSIFIERS.get(method)
        if self == HONEST or falsify is None:
            return result
        return falsify(self, result)

    def body(self) -> dict[str, Any]:
        """As JSON, in the form that `read` accepts."""
        return {_camel(name): value for name, value in asdict(self).items()}


HONEST = Lies()


def read(values: Mapping[str, Any]) -> Lies:
    """Reads lies from JSON. Raises `InvalidParamsError`, which names the field and what is allowed."""
    names = {_camel(name): name for name in Lies.__slots__}
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise InvalidParamsError(f"lies.{name}: is not a lie")
        kind = type(getattr(HONEST, names[name]))
        # Not `isinstance`: a bool is an int in Python.
        if type(value) is not kind or (kind is int and abs(value) > MAX_OFFSET):
            integer = f"an integer from -{MAX_OFFSET} to {MAX_OFFSET}"
            allowed = {int: integer, bool: "true or false", str: "a string"}[kind]
            raise InvalidParamsError(f"lies.{name}: must be {allowed}")
        fields[names[name]] = value
    return Lies(**fields)


def _epoch_info(lies: Lies, result: Any) -> Any:
    slot = max(0, result["absoluteSlot"] + lies.slot)
    height = slot if lies.slot_for_height else max(0, result["blockHeight"] + lies.height)
    return result | {"absoluteSlot": slot, "blockHeight": height}


def _block_height(lies: Lies, result: Any) -> Any:
    return max(0, result + lies.height)


def _slot(lies: Lies, result: Any) -> Any:
    return max(0, result + lies.slot)


def _with_context(lies: Lies, result: Any) -> Any:
    if not isinstance(result, dict) or "context" not in result:
        return result
    return result | {"context": result["context"] | {"slot": max(0, result["context"]["slot"] + lies.slot)}}


def _latest_blockhash(lies: Lies, result: Any) -> Any:
    value = result["value"]
    height = max(0, value["lastValidBlockHeight"] + lies.last_valid_height)
    return _with_context(lies, result | {"value": value | {"lastValidBlockHeight": height}})


def _statuses(lies: Lies, result: Any) -> Any:
    statuses = [None if status is None else _status(lies, status) for status in result["value"]]
    return _with_context(lies, result | {"value": statuses})


def _status(lies: Lies, status: Any) -> Any:
    falsified = dict(status)
    if lies.finalized:
        falsified |= {"confirmationStatus": "finalized", "confirmations": None}
    if lies.failed:
        falsified |= {"err": "AccountInUse", "status": {"Err": "AccountInUse"}}
    return falsified


def _transaction(lies: Lies, result: Any) -> Any:
    if result is None or not lies.failed:
        return result
    return result | {"meta": result["meta"] | {"err": "AccountInUse", "status": {"Err": "AccountInUse"}}}


def _genesis_hash(lies: Lies, result: Any) -> Any:
    return lies.genesis or result


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


_FALSIFIERS: Mapping[str, Callable[[Lies, Any], Any]] = {
    "getBlockHeight": _block_height,
    "getEpochInfo": _epoch_info,
    "getGenesisHash": _genesis_hash,
    "getLatestBlockhash": _latest_blockhash,
    "getMultipleAccounts": _with_context,
    "getSignatureStatuses": _statuses,
    "getSlot": _slot,
    "getTransaction": _transaction,
    "simulateTransaction": _with_context,
}
