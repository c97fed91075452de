"""The runtime in this process: what it executes, what it leaves to a node, and what a panic costs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from dexexec.domain.solana import Account
from dexexec.domain.solana import Instruction as Step
from dexexec.settlement.solana.message import Program, Version, compute_unit_limit, memo
from dexexec.settlement.solana.transaction import assemble, compile_message, parse_message
from dexexec.settlement.solana.warm.features import Features
from dexexec.settlement.solana.warm.local_simulator import (
    INSTRUCTIONS,
    MOST_FAULTS,
    SYSVARS,
    LocalSimulator,
    NotLocalError,
    Obstacle,
    is_program,
    read_transaction,
)
from dexexec.settlement.solana.warm.programs import LoadedProgram, Loader, read_program
from tests.support.swap_transactions import BLOCKHASH, SOL, VENUE, WALLET, address, call, pay, wallet_account

LIBRARY = LiteSVM()
FEATURES = Features(0, {str(key): slot for key, slot in LiteSVM.mainnet_feature_set().active.items()})
SLOT_HASHES = "SysvarS1otHashes111111111111111111111111111"


def shown(at: str) -> Account:
    """An account of the library's own small cluster."""
    found = LIBRARY.get_account(Pubkey.from_string(at))
    assert found is not None
    return Account(str(found.owner), found.lamports, bytes(found.data))


MEMO = read_program(Program.MEMO, (Program.MEMO,), (shown(Program.MEMO),))
CLUSTER: Mapping[str, Account | None] = {
    **{sysvar: shown(sysvar) for sysvar in SYSVARS},
    WALLET: wallet_account(SOL),
    VENUE: wallet_account(SOL),
}


def payload(*steps: Step, version: Version = Version.V0) -> bytes:
    message = compile_message(WALLET, (compute_unit_limit(100_000), *steps), BLOCKHASH.hash, version)
    return assemble(message, parse_message(message).signers, {})


def simulate(at: LocalSimulator, *steps: Step, accounts: Mapping[str, Account | None] = CLUSTER, **options: Any) -> Any:
    transaction = read_transaction(payload(*steps, **options))
    known = {**dict.fromkeys(transaction.addresses), **accounts}
    return at.simulate(transaction, (WALLET, VENUE), known, 77, [MEMO])


def simulator(*programs: LoadedProgram) -> LocalSimulator:
    made = LocalSimulator(FEATURES)
    for program in programs:
        made.load(program)
    return made


def test_it_executes_what_the_cluster_would_and_keeps_nothing_of_it() -> None:
    at = simulator(MEMO)
    for _ in range(2):
        found = simulate(at, pay(WALLET, VENUE, 1_000), memo("order"))
        assert (found.error, found.slot, found.local) == (None, 77, True)
        assert found.after == {WALLET: wallet_account(SOL - 1_000 - 5_000), VENUE: wallet_account(SOL + 1_000)}
    again = simulate(at, pay(WALLET, VENUE, 1_000), memo("order"), accounts={**CLUSTER, VENUE: None})
    assert again.error == "the transaction failed: InsufficientFundsForRent"


@pytest.mark.parametrize("version", list(Version))
def test_transactions_of_both_versions_are_executed(version: Version) -> None:
    assert simulate(simulator(MEMO), pay(WALLET, VENUE, 1_000), memo("order"), version=version).error is None


def test_an_emptied_account_is_closed() -> None:
    poor = {**CLUSTER, VENUE: wallet_account(5)}
    found = simulate(simulator(MEMO), pay(WALLET, VENUE, SOL - 5_000), memo("order"), accounts=poor | {VENUE: None})
    assert found.after[WALLET] is None
    assert found.after[VENUE] == wallet_account(SOL - 5_000)


def test_rent_is_the_clusters() -> None:
    rent = CLUSTER[SYSVARS[1]]
    assert rent is not None
    cheaper = replace(rent, data=(10).to_bytes(8, "little") + rent.data[8:])
    step = pay(WALLET, address("new"), 2_000)
    at = simulator(MEMO)
    assert simulate(at, step, memo("order")).error == "the transaction failed: InsufficientFundsForRent"
    assert simulate(at, step, memo("order"), accounts={**CLUSTER, SYSVARS[1]: cheaper}).error is None
    assert simulate(at, step, memo("order")).error is not None, "and follows it back"


def test_features_that_are_off_on_the_cluster_are_off_here() -> None:
    """Without any feature the runtime still works, with the rules of the first days."""
    off = LocalSimulator(Features(0, {}))
    off.load(MEMO)
    assert off.features.active == {}
    assert simulate(off, pay(WALLET, VENUE, 1_000), memo("order")).error is None


def test_a_program_is_executed_only_as_loaded() -> None:
    at = LocalSimulator(FEATURES)
    with pytest.raises(NotLocalError) as missing:
        simulate(at, memo("order"))
    assert missing.value.obstacle is Obstacle.PROGRAM
    at.load(MEMO)
    assert at.has(MEMO)
    assert not at.has(replace(MEMO, sha256="of other code"))


@pytest.mark.parametrize("code", [b"", b"\x7fELF", b"\x7fELF" + bytes(1_000), MEMO.elf[:1_500]])
def test_code_that_is_none_is_not_loaded(code: bytes) -> None:
    at = simulator(MEMO)
    broken = replace(MEMO, elf=code, sha256="broken")
    with pytest.raises(NotLocalError, match="the runtime refused"):
        at.load(broken)
    assert not at.has(broken)
    assert not at.has(MEMO), "it was to be replaced"
    assert at.usable


@pytest.mark.parametrize("missing", SYSVARS)
def test_without_a_sysvar_nothing_is_simulated(missing: str) -> None:
    with pytest.raises(NotLocalError) as cold:
        simulate(simulator(MEMO), memo("order"), accounts={**CLUSTER, missing: None})
    assert cold.value.obstacle is Obstacle.COLD


@pytest.mark.parametrize("sysvar", SYSVARS)
def test_a_sysvar_that_is_none_is_left_to_the_node(sysvar: str) -> None:
    at = simulator(MEMO)
    broken = Account("Sysvar1111111111111111111111111111111111111", 1, b"?")
    with pytest.raises(NotLocalError) as refused:
        simulate(at, memo("order"), accounts={**CLUSTER, sysvar: broken})
    assert refused.value.obstacle is Obstacle.RUNTIME
    assert simulate(at, memo("order")).error is None


def test_sysvars_that_are_not_kept_are_left_to_the_node() -> None:
    step = call(Program.MEMO, b"order", SLOT_HASHES, signers=[])
    with pytest.raises(NotLocalError) as refused:
        simulate(simulator(MEMO), step, accounts={**CLUSTER, SLOT_HASHES: shown(SLOT_HASHES)})
    assert refused.value.obstacle is Obstacle.MESSAGE


def test_the_transactions_own_instructions_are_shown_by_the_runtime() -> None:
    step = Step(Program.MEMO, (), b"order")
    assert simulate(simulator(MEMO), step, accounts={**CLUSTER, INSTRUCTIONS: None}).error is None


def test_lookup_tables_are_left_to_the_node() -> None:
    table = AddressLookupTableAccount(Pubkey.new_unique(), [Pubkey.from_string(VENUE)])
    step = Instruction(
        Pubkey.from_string(Program.MEMO),
        b"x",
        [AccountMeta(Pubkey.from_string(VENUE), is_signer=False, is_writable=True)],
    )
    message = MessageV0.try_compile(Pubkey.from_string(WALLET), [step], [table], Hash.default())
    raw = bytes(VersionedTransaction.populate(message, [Signature.default()]))
    with pytest.raises(NotLocalError, match="lookup tables") as refused:
        read_transaction(raw)
    assert refused.value.obstacle is Obstacle.MESSAGE


@pytest.mark.parametrize("broken", [b"", b"\x01", bytes(64), b"\xff" * 300])
def test_bytes_that_are_no_transaction_are_left_to_the_node(broken: bytes) -> None:
    with pytest.raises(NotLocalError):
        read_transaction(broken)


class PanicError(BaseException):
    """As a panic of the library arrives: no `Exception`."""


class Panicking:
    """A runtime that panics."""

    def __getattr__(self, name: str) -> Any:
        def panic(*_: Any) -> None:
            raise PanicError("index out of bounds")

        return panic


def test_a_panic_is_left_to_the_node_and_the_runtime_starts_anew() -> None:
    at = simulator(MEMO)
    at._svm = Panicking()  # type: ignore[assignment]
    with pytest.raises(NotLocalError, match="panicked: index out of bounds") as panicked:
        simulate(at, memo("order"))
    assert panicked.value.obstacle is Obstacle.RUNTIME
    assert not at.has(MEMO), "what it holds is unknown"
    at.load(MEMO)
    assert simulate(at, memo("order")).error is None


def test_a_runtime_that_panics_again_and_again_is_not_used_any_more() -> None:
    at = simulator(MEMO)
    for _ in range(MOST_FAULTS):
        assert at.usable
        at._svm = Panicking()  # type: ignore[assignment]
        with pytest.raises(NotLocalError):
            at.load(MEMO)
    at.load(MEMO)
    with pytest.raises(NotLocalError, match="too often"):
        simulate(at, memo("order"))


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (Loader.FINAL, True),
        (Loader.UPGRADEABLE, True),
        (Loader.V4, True),
        ("NativeLoader1111111111111111111111111111111", True),
        (Program.SYSTEM, False),
        (Program.TOKEN, False),
    ],
)
def test_what_belongs_to_a_loader_is_no_plain_account(owner: str, expected: bool) -> None:
    assert is_program(Account(owner, 1, b"")) is expected
    assert not is_program(None)
