"""Wraps LiteSVM, which executes transactions. It may be used from one thread only, and the ledger is its only user.

LiteSVM checks signatures and runs programs. Blockhashes, repeated transactions and time are the ledger's task, so its
own checks of these are switched off.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from solders.account import Account
from solders.epoch_schedule import EpochSchedule
from solders.litesvm import LiteSVM
from solders.message import MessageV0, MessageV1, VersionedMessage
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.system_program import ID as SYSTEM
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulatedTransactionInfo, TransactionMetadata

from dexexec.domain import base58
from dexexec.localnet import transaction_v1
from dexexec.localnet.blocks import LAMPORTS_PER_BYTE, Block
from dexexec.localnet.execution_result import ExecutionResult
from dexexec.localnet.sysvars import clock_of, slot_hashes_of

LOADER = Pubkey.from_string("BPFLoader2111111111111111111111111111111111")
"""The loader that keeps a program in a single account, so that the journal stores one row for it."""
FEATURE_PROGRAM = Pubkey.from_string("Feature111111111111111111111111111111111111")
VERSION_1_FEATURE = Pubkey.from_string("txv1aq4pp281K9um3tnPgkfX8UqtFT6wcVW3hNezGLL")
"""`enable_tx_v1` (SIMD-0385)."""
ACTIVE_SINCE_GENESIS = b"\x01" + bytes(8)
"""The content of a feature's account: active, and the slot since when."""
TABLE_HEADER_BYTES = 56
"""Before the addresses of a lookup table."""
KEY_BYTES = 32
UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
PROGRAM_TAG_BYTES = 4
"""Before the address of the code, in a program of the upgradeable loader."""
BASE_BYTES_PER_ACCOUNT = 64
"""What an account counts for beside its data, in the size of what a transaction loads (SIMD-0186)."""


class Runtime:
    """The present accounts, and the programs that change them."""

    def __init__(self, lamports_per_byte: int = LAMPORTS_PER_BYTE) -> None:
        self._svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        # Clients read there whether transactions of version 1 are executed.
        flag = Account(self.rent_exempt(len(ACTIVE_SINCE_GENESIS)), ACTIVE_SINCE_GENESIS, FEATURE_PROGRAM)
        self._svm.set_account(VERSION_1_FEATURE, flag)
        self._svm.set_rent(Rent.with_lamports_per_byte(lamports_per_byte))
        # As on a cluster: epochs have had their full length from the first.
        self._svm.set_epoch_schedule(EpochSchedule.without_warmup())

    def account(self, address: Pubkey) -> Account | None:
        """The account at an address."""
        return self._svm.get_account(address)

    def put(self, address: Pubkey, account: Account | None) -> None:
        """Writes or removes an account. Raises `ValueError` for a program that cannot be loaded."""
        try:
            # LiteSVM removes an account that is set to no lamports.
            self._svm.set_account(address, account or Account(0, b"", SYSTEM))
        except Exception as error:
            raise ValueError(str(error)) from error

    def add_program(self, address: Pubkey, elf: bytes) -> Account:
        """Deploys a program and returns its account. Raises `ValueError` if it is not a Solana program."""
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
        """Lamports that an account with `size` bytes of data must hold."""
        return self._svm.minimum_balance_for_rent_exemption(size)

    def begin(self, newest: Sequence[Block]) -> None:
        """Sets the clock to the newest block, and the slot hashes to those before it."""
        self._svm.set_clock(clock_of(newest[0]))
        # The lookup table program reads them.
        self._svm.set_slot_hashes(slot_hashes_of(newest[1:]))

    def loaded(self, message: Any) -> tuple[list[Pubkey], list[Pubkey]]:
        """The writable and the read-only addresses that a message takes from lookup tables."""
        writable: list[Pubkey] = []
        readonly: list[Pubkey] = []
        for lookup in message.address_table_lookups if isinstance(message, MessageV0) else ():
            table = self.account(lookup.account_key)
            data = table.data[TABLE_HEADER_BYTES:] if table else b""
            for indexes, addresses in (
                (lookup.writable_indexes, writable),
                (lookup.readonly_indexes, readonly),
            ):
                entries = (data[index * KEY_BYTES : (index + 1) * KEY_BYTES] for index in indexes)
                # An index beyond the table gives a short slice; execution then reports the error.
                addresses += [Pubkey(entry) for entry in entries if len(entry) == KEY_BYTES]
        return writable, readonly

    def execute(self, transaction: VersionedTransaction) -> ExecutionResult:
        """Executes a transaction. A failed one may have charged its fee (the payer's account shows it) or nothing."""
        message = transaction.message
        if isinstance(message, MessageV1):
            return self._run_v1(transaction, message, lambda equal: _result(self._svm.send_transaction(equal)))
        return _result(self._svm.send_transaction(transaction))

    def simulate(
        self, transaction: VersionedTransaction, overrides: Mapping[Pubkey, Account | None], *, verify: bool
    ) -> ExecutionResult:
        """What an execution would do with the accounts `overrides`. `verify`: signatures must be right."""
        message = transaction.message
        # LiteSVM simulates on its present accounts only: the older ones are put in place and taken back.
        now = {address: self.account(address) for address in (*overrides, message.account_keys[0])}
        try:
            for address, account in overrides.items():
                self.put(address, account)
            self._svm.with_sigverify(verify)
            loaded_bytes = self._loaded_bytes(message)
            if isinstance(message, MessageV1):
                result = self._run_v1(transaction, message, self._simulated)
            else:
                result = self._simulated(transaction)
            return replace(result, loaded_bytes=loaded_bytes)
        finally:
            self._svm.with_sigverify(True)
            for address, account in now.items():
                self.put(address, account)

    def _loaded_bytes(self, message: VersionedMessage) -> int:
        writable, readonly = self.loaded(message)
        keys = [*message.account_keys, *writable, *readonly]
        found = [account for key in keys if (account := self.account(key)) is not None]
        # The code of an upgradeable program is in an account of its own, which the program names.
        programs = [account for account in found if account.owner == UPGRADEABLE_LOADER and account.executable]
        code = [self.account(Pubkey(program.data[PROGRAM_TAG_BYTES:][:KEY_BYTES])) for program in programs]
        return sum(BASE_BYTES_PER_ACCOUNT + len(account.data) for account in (*found, *code) if account)

    def _simulated(self, transaction: VersionedTransaction) -> ExecutionResult:
        return _result(self._svm.simulate_transaction(transaction))

    def _run_v1(
        self,
        transaction: VersionedTransaction,
        message: MessageV1,
        run: Callable[[VersionedTransaction], ExecutionResult],
    ) -> ExecutionResult:
        payer = message.account_keys[0]
        before = self.account(payer)
        refusal = transaction_v1.refusal(message, before, self.rent_exempt(len(before.data) if before else 0))
        if refusal is not None or before is None:
            return ExecutionResult(err=refusal)
        priority_fee = transaction_v1.priority_fee(message)
        too_much = self._loaded_bytes(message) > transaction_v1.may_load(message)
        # Before the execution, as the whole fee is: programs see what is left.
        self.put(payer, _with_lamports(before, before.lamports - priority_fee))
        if too_much:
            base_fee = transaction_v1.base_fee(message)
            self.put(payer, _with_lamports(before, before.lamports - priority_fee - base_fee))
            return ExecutionResult(err="MaxLoadedAccountsDataSizeExceeded", fee=base_fee + priority_fee)
        self._svm.with_sigverify(False)
        try:
            result = transaction_v1.result_of(run(transaction_v1.as_v0(transaction, message)), message)
        finally:
            self._svm.with_sigverify(True)
        if not result.fee:
            # It failed before it was executed, so it costs nothing.
            self.put(payer, before)
            return result
        return replace(result, fee=result.fee + priority_fee)


def _with_lamports(account: Account, lamports: int) -> Account:
    return Account(lamports, account.data, account.owner, account.executable, account.rent_epoch)


def _result(found: TransactionMetadata | FailedTransactionMetadata | SimulatedTransactionInfo) -> ExecutionResult:
    meta = found if isinstance(found, TransactionMetadata) else found.meta()
    # Only its JSON has the error in the form of JSON-RPC.
    err = json.loads(found.to_json())["err"] if isinstance(found, FailedTransactionMetadata) else None
    accounts = dict(found.post_accounts()) if isinstance(found, SimulatedTransactionInfo) else {}
    returned = meta.return_data()
    return ExecutionResult(
        err=err,
        logs=meta.logs(),
        units=meta.compute_units_consumed(),
        fee=meta.fee(),
        inner=_inner_instructions(meta),
        returned=(str(returned.program_id), bytes(returned.data)) if returned.data else None,
        accounts=accounts,
    )


def _inner_instructions(meta: TransactionMetadata) -> list[dict[str, Any]]:
    inner = []
    for index, calls in enumerate(meta.inner_instructions()):
        instructions = [
            {
                "programIdIndex": call.instruction().program_id_index,
                "accounts": list(call.instruction().accounts),
                "data": base58.encode(call.instruction().data),
                "stackHeight": call.stack_height(),
            }
            for call in calls
        ]
        if instructions:
            inner.append({"index": index, "instructions": instructions})
    return inner
