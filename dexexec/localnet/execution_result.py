"""What an execution or a simulation of a transaction did."""

from dataclasses import dataclass, field
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """The result of an execution or a simulation.

    `err` is a TransactionError in the form of JSON-RPC, None for success. `accounts` are those after a successful
    simulation, and `loaded_bytes` what it loaded.
    """

    err: Any
    logs: list[str] = field(default_factory=list)
    units: int = 0
    fee: int = 0
    loaded_bytes: int = 0
    inner: list[dict[str, Any]] = field(default_factory=list)
    returned: tuple[str, bytes] | None = None
    accounts: dict[Pubkey, Account] = field(default_factory=dict)
