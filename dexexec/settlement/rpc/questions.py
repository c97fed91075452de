"""What a node is asked: each JSON-RPC method with the parameters used here and the reading of its answer.

What is acted upon is read at `confirmed`; what proves that a swap is gone is read at `finalized`.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from dexexec.domain import base58
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation
from dexexec.domain.swap import Blockhash
from dexexec.settlement.rpc import reading
from dexexec.settlement.rpc.wire import programs_of

T = TypeVar("T")
MAX_STATUSES = 256
"""Signatures in one look-up."""
CONFIRMED = {"commitment": "confirmed"}


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A call of a node; `read` makes a value of its result, or raises one of `reading.UNREADABLE`."""

    method: str
    params: Sequence[object]
    read: Callable[[Any], T]


GENESIS_HASH = Question("getGenesisHash", [], reading.read_text)
BLOCKHASH: Question[Blockhash] = Question("getLatestBlockhash", [CONFIRMED], reading.read_blockhash)
FINALIZED: Question[reading.Epoch] = Question("getEpochInfo", [{"commitment": "finalized"}], reading.read_epoch)


def send(payload: bytes, *, preflight: bool) -> Question[str]:
    """Send a transaction; its signature. The node does not resend: that is done here, and seen."""
    how = {"encoding": "base64", "maxRetries": 0, "skipPreflight": not preflight, "preflightCommitment": "confirmed"}
    return Question("sendTransaction", [_base64(payload), how], reading.read_text)


def statuses(signatures: Sequence[str], *, history: bool) -> Question[reading.Sightings]:
    """What is known of signatures, in the recent statuses or in the whole history."""
    params = [list(signatures), {"searchTransactionHistory": history}]
    return Question("getSignatureStatuses", params, partial(reading.read_statuses, count=len(signatures)))


def transaction(signature: str) -> Question[reading.Executed | None]:
    """What a transaction did."""
    how = {"encoding": "json", "maxSupportedTransactionVersion": 0, **CONFIRMED}
    return Question("getTransaction", [signature, how], partial(reading.read_transaction, signature=signature))


def accounts(addresses: Sequence[str]) -> Question[Accounts]:
    """Accounts, all in one answer."""
    params = [list(addresses), {"encoding": "base64", **CONFIRMED}]
    return Question("getMultipleAccounts", params, partial(reading.read_accounts, count=len(addresses)))


def program_accounts(program: str, filters: AccountFilters) -> Question[ProgramAccounts]:
    """The accounts of a program that match."""
    matches = ({"offset": offset, "bytes": base58.encode(wanted)} for offset, wanted in filters.matches)
    wanted = [{"dataSize": filters.size}, *({"memcmp": match} for match in matches)]
    params = [program, {"encoding": "base64", "withContext": True, "filters": wanted, **CONFIRMED}]
    read = partial(reading.read_program_accounts, program=program, filters=filters)
    return Question("getProgramAccounts", params, read)


def simulation(payload: bytes, watched: Sequence[str]) -> Question[Simulation]:
    """What a transaction would do now, signed or not. Raises `ValueError` for bytes that are none."""
    how: dict[str, object] = {"encoding": "base64", "sigVerify": False, "replaceRecentBlockhash": True, **CONFIRMED}
    if watched:
        how["accounts"] = {"encoding": "base64", "addresses": list(watched)}
    read = partial(reading.read_simulation, watched=watched, programs=programs_of(payload))
    return Question("simulateTransaction", [_base64(payload), how], read)


def fund(owner: str, mint: str, decimals: int, amount: int) -> Question[None]:
    """Coins for nothing, on a localnet."""
    return Question("localnet_fund", [owner, mint, decimals, amount], lambda _: None)


def _base64(payload: bytes) -> str:
    return base64.b64encode(payload).decode()
