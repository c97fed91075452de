"""LiteSVM, which executes transactions, and its one owner: it may be used from one thread only.

It checks signatures and runs programs. What a blockhash is worth, which transaction was there before, and what happens
when, is for the ledger: its own checks of these are off.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulatedTransactionInfo, TransactionMetadata

from dexexec.domain import base58
from dexexec.localnet.blocks import Block

LOADER = Pubkey.from_string("BPFLoader2111111111111111111111111111111111")
"""The one that keeps a program in one account."""
SLOTS_PER_EPOCH = 432_000
TABLE_HEADER = 56
"""Bytes before the addresses of a lookup table."""


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What came of executing or simulating. `err` is as JSON-RPC shows a TransactionError, None for success."""

    err: Any
    logs: list[str] = field(default_factory=list)
    units: int = 0
    fee: int = 0
    inner: list[dict[str, Any]] = field(default_factory=list)
    returned: tuple[str, bytes] | None = None
    accounts: dict[Pubkey, Account] = field(default_factory=dict)
    """After a simulation that succeeded."""


class Runtime:
    """The accounts as they are now, and the programs that change them."""

    def __init__(self) -> None:
        self._svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)

    def account(self, address: Pubkey) -> Account | None:
        """What is at an address."""
        return self._svm.get_account(address)

    def put(self, address: Pubkey, account: Account | None) -> None:
        """Write or remove an account, whatever was there. Raises `ValueError` for a program that cannot be loaded."""
        try:
            self._svm.set_account(address, account or Account(0, b"", SYSTEM))
        except Exception as error:
            raise ValueError(str(error)) from error

    def add_program(self, address: Pubkey, elf: bytes) -> Account:
        """Deploy a program; its account. Raises `ValueError` for what is not a Solana program."""
        try:
            self._svm.add_program_with_loader(address, elf, LOADER)
        except Exception as error:
            raise ValueError(str(error)) from error
        account = self._svm.get_account(address)
        assert account is not None  # noqa: S101 - it was just deployed
        return account

    def owned_by(self, program: Pubkey) -> dict[Pubkey, Account]:
        """All accounts of a program."""
        return dict(self._svm.get_program_accounts(program))

    def rent_exempt(self, size: int) -> int:
        """Lamports that an account with so many bytes of data must hold."""
        return self._svm.minimum_balance_for_rent_exemption(size)

    def begin(self, newest: Sequence[Block]) -> None:
        """Set the clock to the first of the newest blocks, and the slot hashes to those before it."""
        tip = newest[0]
        epoch = tip.slot // SLOTS_PER_EPOCH
        self._svm.set_clock(Clock(tip.slot, tip.time, epoch, epoch + 1, tip.time))
        self._svm.set_slot_hashes([(block.slot, Hash.from_string(block.hash)) for block in newest[1:]])

    def loaded(self, message: Any) -> tuple[list[Pubkey], list[Pubkey]]:
        """What a message takes from lookup tables: writable and read-only addresses."""
        writable: list[Pubkey] = []
        readonly: list[Pubkey] = []
        for lookup in message.address_table_lookups if isinstance(message, MessageV0) else ():
            table = self.account(lookup.account_key)
            data = table.data[TABLE_HEADER:] if table else b""
            for indexes, addresses in (
                (lookup.writable_indexes, writable),
                (lookup.readonly_indexes, readonly),
            ):
                entries = (data[index * 32 : index * 32 + 32] for index in indexes)
                addresses += [Pubkey(entry) for entry in entries if len(entry) == 32]
        return writable, readonly

    def execute(self, transaction: VersionedTransaction) -> ExecutionResult:
        """Execute it. A failure may have charged the fee (then the payer's account shows it) or changed nothing."""
        return _outcome(self._svm.send_transaction(transaction))

    def simulate(
        self, transaction: VersionedTransaction, overrides: Mapping[Pubkey, Account | None], *, verify: bool
    ) -> ExecutionResult:
        """What executing would do if `overrides` were there; `verify` is whether signatures must be right."""
        now = {address: self.account(address) for address in overrides}
        try:
            for address, account in overrides.items():
                self.put(address, account)
            self._svm.with_sigverify(verify)
            return _outcome(self._svm.simulate_transaction(transaction))
        finally:
            self._svm.with_sigverify(True)
            for address, account in now.items():
                self.put(address, account)


def _outcome(result: TransactionMetadata | FailedTransactionMetadata | SimulatedTransactionInfo) -> ExecutionResult:
    meta = result if isinstance(result, TransactionMetadata) else result.meta()
    err = json.loads(result.to_json())["err"] if isinstance(result, FailedTransactionMetadata) else None
    accounts = dict(result.post_accounts()) if isinstance(result, SimulatedTransactionInfo) else {}
    back = meta.return_data()
    return ExecutionResult(
        err=err,
        logs=meta.logs(),
        units=meta.compute_units_consumed(),
        fee=meta.fee(),
        inner=_inner(meta),
        returned=(str(back.program_id), bytes(back.data)) if back.data else None,
        accounts=accounts,
    )


def _inner(meta: TransactionMetadata) -> list[dict[str, Any]]:
    found = []
    for index, calls in enumerate(meta.inner_instructions()):
        shown = [
            {
                "programIdIndex": call.instruction().program_id_index,
                "accounts": list(call.instruction().accounts),
                "data": base58.encode(call.instruction().data),
                "stackHeight": call.stack_height(),
            }
            for call in calls
        ]
        if shown:
            found.append({"index": index, "instructions": shown})
    return found
