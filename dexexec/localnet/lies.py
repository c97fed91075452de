"""What a node tells that is not so, when a test wants it to. Pure: from the true answer to the one that is given."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dexexec.localnet.rpc.errors import InvalidParamsError

FARTHEST = 10**9
"""Blocks or slots by which a lie may differ from what is so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lies:
    """`height`, `last_valid_height`, `slot`: how much is added to block heights, last valid heights and slots.
    `slot_for_height`: the slot is told for a block height. `finalized`: every transaction that is known is told to be
    final. `failed`: every one is told to have failed. `genesis`: another genesis hash."""

    height: int = 0
    last_valid_height: int = 0
    slot: int = 0
    slot_for_height: bool = False
    finalized: bool = False
    failed: bool = False
    genesis: str = ""

    def told(self, method: str, result: Any) -> Any:
        """What is told for the true `result` of a method."""
        lie = _LIES.get(method)
        if self == HONEST or lie is None:
            return result
        return lie(self, result)

    def body(self) -> dict[str, Any]:
        """As `read` takes it."""
        return {_camel(name): value for name, value in asdict(self).items()}


HONEST = Lies()


def read(values: Mapping[str, Any]) -> Lies:
    """Lies from JSON. Raises `InvalidParamsError` that names the field and what would be right."""
    names = {_camel(name): name for name in Lies.__slots__}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise InvalidParamsError(f"lies.{name}: is not a lie")
        kind = type(getattr(HONEST, names[name]))
        if type(value) is not kind or (kind is int and abs(value) > FARTHEST):
            wanted = {int: f"an integer from -{FARTHEST} to {FARTHEST}", bool: "true or false", str: "a string"}[kind]
            raise InvalidParamsError(f"lies.{name}: must be {wanted}")
        found[names[name]] = value
    return Lies(**found)


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
    found = [None if one is None else _status(lies, one) for one in result["value"]]
    return _with_context(lies, result | {"value": found})


def _status(lies: Lies, one: Any) -> Any:
    told = dict(one)
    if lies.finalized:
        told |= {"confirmationStatus": "finalized", "confirmations": None}
    if lies.failed:
        told |= {"err": "AccountInUse", "status": {"Err": "AccountInUse"}}
    return told


def _transaction(lies: Lies, result: Any) -> Any:
    if result is None or not lies.failed:
        return result
    return result | {"meta": result["meta"] | {"err": "AccountInUse", "status": {"Err": "AccountInUse"}}}


def _genesis_hash(lies: Lies, result: Any) -> Any:
    return lies.genesis or result


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


_LIES: Mapping[str, Callable[[Lies, Any], Any]] = {
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
