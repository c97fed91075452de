"""Simulates transactions in this process with LiteSVM, on the cluster's own programs, features and accounts.

It has no node: the caller brings every byte. One thread uses it. What it cannot execute exactly as the cluster would,
it refuses with `NotLocalError`, and a node simulates instead.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from solders.account import Account as SoldersAccount
from solders.litesvm import FeatureSet, LiteSVM
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulateResult

from dexexec.domain.solana import Account, Simulation
from dexexec.settlement.solana.message import Message, Program
from dexexec.settlement.solana.rpc.called_programs import called_programs
from dexexec.settlement.solana.rpc.decode.failures import read_failure
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS
from dexexec.settlement.solana.transaction import parse_message
from dexexec.settlement.solana.warm.features import CLOCK, Features
from dexexec.settlement.solana.warm.programs import LoadedProgram, Loader

T = TypeVar("T")
RENT = "SysvarRent111111111111111111111111111111111"
EPOCH_SCHEDULE = "SysvarEpochSchedu1e111111111111111111111111"
INSTRUCTIONS = "Sysvar1nstructions1111111111111111111111111"
"""The transaction's own instructions, which the runtime itself shows to programs."""
SYSVARS = (CLOCK, RENT, EPOCH_SCHEDULE)
"""What programs read without naming it in the transaction. A simulation needs the cluster's values of all of them."""
_SYSVAR_OWNER = "Sysvar1111111111111111111111111111111111111"
BUILTIN = frozenset({Program.SYSTEM, Program.COMPUTE_BUDGET})
"""Programs that are part of the runtime and may be executed here. Others of that kind stay with the node."""
NATIVE_LOADER = "NativeLoader1111111111111111111111111111111"
MOST_FAULTS = 3
"""Panics of the runtime after which it is not used again in this process."""


class Obstacle(StrEnum):
    """Why a transaction is not simulated here."""

    COLD = "cold"  # an account or a sysvar is not in memory
    PROGRAM = "program"  # a program's bytes are not known, or its loader is not supported
    UNPROVEN = "unproven"  # these programs have not been compared with a node yet
    CLOSED = "closed"  # a comparison of these programs with a node differed
    MESSAGE = "message"  # the message is of a kind that is not executed here
    RUNTIME = "runtime"  # LiteSVM refused or panicked


class NotLocalError(Exception):
    """The transaction cannot be simulated here."""

    def __init__(self, obstacle: Obstacle, detail: str) -> None:
        super().__init__(detail)
        self.obstacle = obstacle


@dataclass(frozen=True, slots=True)
class LocalTransaction:
    """A transaction to simulate: parsed by the library, the program of each instruction, and every account that it
    names."""

    parsed: VersionedTransaction
    called: tuple[str, ...]
    addresses: tuple[str, ...]


def read_transaction(payload: bytes) -> LocalTransaction:
    """Parses a transaction, signed or not. Raises `NotLocalError` for one that is not executed here."""
    try:
        parsed = VersionedTransaction.from_bytes(payload)
        # Refuses lookup tables: their accounts are not in the message.
        message = parse_message(to_bytes_versioned(parsed.message))
        return LocalTransaction(parsed, called_programs(payload), _addresses(message))
    except ValueError as error:
        raise NotLocalError(Obstacle.MESSAGE, str(error)) from None


def _addresses(message: Message) -> tuple[str, ...]:
    named = [message.payer, *message.signers, *message.writable]
    for instruction in message.instructions:
        named.append(instruction.program)
        named += (meta.address for meta in instruction.accounts)
    return tuple(dict.fromkeys(named))


class LocalSimulator:
    """A runtime with the cluster's `features`. Known ones that are missing there are off."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self._faults = 0
        self._loaded: dict[str, str] = {}
        self._sysvars: dict[str, Account] = {}
        self._svm = self._start()

    @property
    def usable(self) -> bool:
        """Whether it still executes: not after several panics."""
        return self._faults < MOST_FAULTS

    def has(self, program: LoadedProgram) -> bool:
        """Whether exactly these bytes are loaded."""
        return self._loaded.get(program.address) == program.sha256

    def load(self, program: LoadedProgram) -> None:
        """Loads a program, which takes some milliseconds per megabyte. Raises `NotLocalError`."""
        address = Pubkey.from_string(program.address)
        loader = Pubkey.from_string(program.loader)
        self._loaded.pop(program.address, None)
        self._run(lambda: self._svm.add_program_with_loader(address, program.elf, loader))
        self._loaded[program.address] = program.sha256

    def simulate(
        self,
        transaction: LocalTransaction,
        watched: Sequence[str],
        accounts: Mapping[str, Account | None],
        slot: int,
        programs: Collection[LoadedProgram],
    ) -> Simulation:
        """Simulates on `accounts` as of `slot`: those that the transaction names, and `SYSVARS`. Its `programs` were
        loaded before. Raises `NotLocalError`."""
        if not self.usable:
            raise NotLocalError(Obstacle.RUNTIME, "the runtime panicked too often")
        for program in programs:
            if not self.has(program):
                raise NotLocalError(Obstacle.PROGRAM, f"{program.address} is not loaded")
        self._set_sysvars(accounts)
        fixed = {*BUILTIN, INSTRUCTIONS, *SYSVARS, *(program.address for program in programs)}
        placed = [address for address in transaction.addresses if address not in fixed]
        for address in placed:
            account = accounts[address]
            if account is not None and account.owner == _SYSVAR_OWNER:
                raise NotLocalError(Obstacle.MESSAGE, f"the sysvar {address} is not kept here")
        try:
            for address in placed:
                self._put(address, accounts[address])
            found = self._run(lambda: self._svm.simulate_transaction(transaction.parsed))
            return _simulation(found, transaction, watched, accounts, slot)
        finally:
            # Else accounts of all pools that were ever traded would stay here.
            for address in placed:
                self._put(address, None)

    def _set_sysvars(self, accounts: Mapping[str, Account | None]) -> None:
        for address in SYSVARS:
            account = accounts[address]
            if account is None:
                raise NotLocalError(Obstacle.COLD, f"the sysvar {address} is unknown")
            if self._sysvars.get(address) != account:
                self._put(address, account)
                self._sysvars[address] = account

    def _put(self, address: str, account: Account | None) -> None:
        # LiteSVM removes an account that is set to no lamports.
        lamports, data, owner = (account.lamports, account.data, account.owner) if account else (0, b"", Program.SYSTEM)
        value = SoldersAccount(lamports, data, Pubkey.from_string(owner))
        self._run(lambda: self._svm.set_account(Pubkey.from_string(address), value))

    def _start(self) -> LiteSVM:
        known = LiteSVM.mainnet_feature_set()
        every = {*known.active, *known.inactive}
        slots = self.features.active
        active = {feature: slots[str(feature)] for feature in every if str(feature) in slots}
        # The features come first: the built-in programs and the rules for loading others follow from them. No default
        # programs: only what was read from the cluster may run.
        svm = LiteSVM.default().with_feature_set(FeatureSet(active, every - active.keys()))
        svm = svm.with_builtins().with_sysvars().with_feature_accounts()
        svm = svm.with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        # A program counts as deployed in the slot in which it is loaded, and runs in later ones only.
        svm.warp_to_slot(0)
        return svm

    def _run(self, call: Callable[[], T]) -> T:
        """Calls the library. Raises `NotLocalError` for any error of it."""
        try:
            return call()
        except Exception as error:
            raise NotLocalError(Obstacle.RUNTIME, f"the runtime refused: {error}") from error
        except (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError):
            raise
        # Rust panics arrive as a `BaseException` that is no `Exception`. What the runtime holds is then unknown.
        except BaseException as error:
            self._faults += 1
            self._loaded.clear()
            self._sysvars.clear()
            self._svm = self._start()
            raise NotLocalError(Obstacle.RUNTIME, f"the runtime panicked: {error}") from error


def _simulation(
    found: SimulateResult,
    transaction: LocalTransaction,
    watched: Sequence[str],
    accounts: Mapping[str, Account | None],
    slot: int,
) -> Simulation:
    meta = found.meta()
    logs = tuple(meta.logs())
    units = meta.compute_units_consumed()
    if isinstance(found, FailedTransactionMetadata):
        # Only its JSON has the error in the form of JSON-RPC, which the node's own failures are read from too.
        try:
            failure = read_failure(json.loads(found.to_json())["err"], transaction.called, logs)
        except DECODE_ERRORS as error:
            raise NotLocalError(Obstacle.RUNTIME, "the runtime's error is unreadable") from error
        return Simulation(
            slot=slot, units=units, error=failure.detail, failure=failure.instruction, logs=logs, local=True
        )
    written = {str(address): _account(account) for address, account in found.post_accounts()}
    after = {address: written[address] if address in written else accounts[address] for address in watched}
    return Simulation(slot=slot, units=units, logs=logs, after=after, local=True)


def _account(account: SoldersAccount) -> Account | None:
    # An account with no lamports no longer exists.
    return Account(str(account.owner), account.lamports, bytes(account.data)) if account.lamports else None


def is_program(account: Account | None) -> bool:
    """Whether the account is of a loader or of the runtime: it is executed, or belongs to what is executed."""
    return account is not None and (account.owner == NATIVE_LOADER or account.owner in frozenset(Loader))
