"""Transactions as bytes: what is compiled is read back as it was meant, and the library's failures stay inside."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message as LegacyMessage
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token.instructions import get_associated_token_address

from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.message import Program, Version, compute_unit_limit, compute_unit_price, memo
from dexexec.settlement.solana.transaction import (
    MAX_BYTES,
    assemble,
    associated_token_account,
    compile_message,
    is_signed,
    parse_message,
    signature_text,
)
from dexexec.venue import BadAnswer, Unsupported
from tests.support.swap_transactions import BLOCKHASH, STEPS, VENUE, WALLET, address

PAYER, COSIGNER = Keypair.from_seed(bytes([1] * 32)), Keypair.from_seed(bytes([2] * 32))
WHO, OTHER = str(PAYER.pubkey()), str(COSIGNER.pubkey())
NAMES = [address(str(number)) for number in range(6)]
METAS = st.builds(AccountMeta, st.sampled_from([*NAMES, WHO, OTHER]), st.booleans(), st.booleans())
CALLS = st.builds(Instruction, st.sampled_from(list(Program)), st.tuples(METAS, METAS), st.binary(max_size=20))


@given(st.lists(CALLS, max_size=4).map(tuple), st.sampled_from(Version))
def test_a_message_read_back_has_what_was_compiled(steps: tuple[Instruction, ...], version: Version) -> None:
    # In version 1 the header has what these instructions say: `test_message_version_1`.
    steps = tuple(step for step in steps if version is Version.V0 or step.program != Program.COMPUTE_BUDGET)
    message = parse_message(compile_message(WHO, steps, BLOCKHASH.hash, version))
    assert message.version is version
    marked = [meta for one in steps for meta in one.accounts]
    signers = {WHO, *(meta.address for meta in marked if meta.signer)}
    writable = {WHO, *(meta.address for meta in marked if meta.writable)}
    assert (message.payer, message.signers[0], set(message.signers)) == (WHO, WHO, signers)
    assert set(message.writable) - set(Program) == writable - set(Program)
    assert message.blockhash == BLOCKHASH.hash
    assert message.instructions == tuple(
        Instruction(
            one.program,
            tuple(AccountMeta(at.address, at.address in signers, at.address in writable) for at in one.accounts),
            one.data,
        )
        for one in steps
    )


@pytest.mark.parametrize("version", Version)
def test_signatures_are_where_the_runtime_looks_for_them(version: Version) -> None:
    step = Instruction(Program.MEMO, (AccountMeta(OTHER, True), AccountMeta(WHO, True)), b"both sign")
    message = compile_message(WHO, (step,), BLOCKHASH.hash, version)
    signatures = {one: bytes(key.sign_message(message)) for one, key in ((WHO, PAYER), (OTHER, COSIGNER))}
    raw = assemble(message, parse_message(message).signers, signatures)
    transaction = VersionedTransaction.from_bytes(raw)
    assert transaction.verify_with_results() == [True, True]
    assert bytes(transaction) == raw
    assert signature_text(raw) == str(transaction.signatures[0]) == str(PAYER.sign_message(message))
    for one, key in ((WHO, PAYER), (OTHER, COSIGNER)):
        assert is_signed(message, one, bytes(key.sign_message(message)))
    assert not is_signed(message, OTHER, signatures[WHO])
    assert not is_signed(message + b"\0", WHO, signatures[WHO])
    assert not is_signed(message, WHO, signatures[WHO][:-1])
    assert not is_signed(message, WHO, bytes(64))


def test_a_transaction_to_simulate_has_zeros_for_signatures() -> None:
    message = compile_message(WALLET, STEPS, BLOCKHASH.hash)
    raw = assemble(message, (WALLET, VENUE), {})
    assert raw == b"\x02" + bytes(128) + message
    VersionedTransaction.from_bytes(raw).sanitize()


def test_the_compute_budget_and_the_memo_are_solanas_own_instructions() -> None:
    for ours, theirs in (
        (compute_unit_limit(200_000), set_compute_unit_limit(200_000)),
        (compute_unit_price(2**40), set_compute_unit_price(2**40)),
    ):
        assert (ours.program, ours.accounts, ours.data) == (str(theirs.program_id), (), bytes(theirs.data))
    assert memo("00ff").data == b"00ff"


def test_an_associated_account_has_its_standard_address() -> None:
    for program in (Program.TOKEN, Program.TOKEN_2022):
        theirs = get_associated_token_address(PAYER.pubkey(), Pubkey.from_string(USDC), Pubkey.from_string(program))
        assert associated_token_account(WHO, USDC, program) == str(theirs)
    with pytest.raises(ValueError):
        associated_token_account("nobody", WSOL)


def sized(size: int) -> tuple[Instruction, ...]:
    """Instructions that make a transaction of so many bytes."""
    spare = size - len(assemble(compile_message(WHO, (memo(""),), BLOCKHASH.hash), [WHO], {}))
    return (memo("x" * (spare - 1)),)  # from 128 on, a length takes a byte more


def test_a_transaction_fits_into_a_packet_or_is_refused() -> None:
    message = compile_message(WHO, sized(MAX_BYTES[Version.V0]), BLOCKHASH.hash)
    assert len(assemble(message, [WHO], {})) == MAX_BYTES[Version.V0] == 1_232
    with pytest.raises(Unsupported, match="1233 bytes or more: at most 1232 fit"):
        compile_message(WHO, sized(MAX_BYTES[Version.V0] + 1), BLOCKHASH.hash)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((memo("x" * 70_000),), id="data that the format cannot hold"),
        pytest.param((Instruction(Program.MEMO, (AccountMeta(WHO),) * 70_000, b""),), id="too many mentions"),
        pytest.param((memo(""),) * 70_000, id="too many instructions"),
        pytest.param(
            (Instruction(Program.MEMO, tuple(AccountMeta(address(str(one))) for one in range(300)), b""),),
            id="too many accounts",
        ),
        pytest.param(
            (Instruction(Program.MEMO, tuple(AccountMeta(address(str(one)), True) for one in range(20)), b""),),
            id="too many signers",
        ),
    ],
)
@pytest.mark.parametrize("version", Version)
def test_a_transaction_that_does_not_fit_is_refused_before_the_library_panics(
    steps: tuple[Instruction, ...], version: Version
) -> None:
    with pytest.raises(Unsupported, match="fit"):
        compile_message(WHO, steps, BLOCKHASH.hash, version)


ODD: Any = object()


@pytest.mark.parametrize(
    "step",
    [
        Instruction("nowhere", (), b""),
        Instruction("", (), b""),
        Instruction("0OIl" * 10, (), b""),
        Instruction("1" * 31, (), b""),
        Instruction("1" * 33, (), b""),
        Instruction("é" * 32, (), b""),
        Instruction(Program.MEMO, (AccountMeta("nobody"),), b""),
        Instruction(ODD, (), b""),
        Instruction(Program.MEMO, ODD, b""),
        Instruction(Program.MEMO, (ODD,), b""),
        Instruction(Program.MEMO, (), ODD),
        Instruction(Program.MEMO, (AccountMeta(WHO, ODD),), b""),
        ODD,
    ],
)
def test_instructions_that_cannot_be_compiled_are_a_bad_answer_of_the_venue(step: Instruction) -> None:
    with pytest.raises(BadAnswer, match="cannot be compiled"):
        compile_message(WHO, (step,), BLOCKHASH.hash)


@pytest.mark.parametrize("blockhash", ["", "x", "1" * 31, "0" * 40, ODD])
def test_a_bad_blockhash_is_a_bad_answer_of_the_venue(blockhash: str) -> None:
    with pytest.raises(BadAnswer, match="cannot be compiled"):
        compile_message(WHO, STEPS, blockhash)


GOOD = compile_message(WALLET, STEPS, BLOCKHASH.hash)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda tail: b"\x80" + tail)))
def test_bytes_that_are_no_message_are_a_value_error(data: bytes) -> None:
    try:
        assert parse_message(data).payer
    except ValueError:
        pass


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_message_with_a_changed_byte_is_a_different_one_or_invalid(at: int, by: int) -> None:
    changed = bytes([*GOOD[:at], GOOD[at] ^ by, *GOOD[at + 1 :]])
    try:
        assert parse_message(changed) != parse_message(GOOD)
    except ValueError:
        pass


def test_only_whole_version_0_messages_without_lookup_tables_are_read() -> None:
    legacy = LegacyMessage.new_with_blockhash([], PAYER.pubkey(), Hash.default())
    looking_up = base64.b64encode(GOOD[:-1] + b"\x01" + bytes(32) + b"\x01\x00\x00")
    empty = to_bytes_versioned(MessageV0.try_compile(PAYER.pubkey(), [], [], Hash.default()))
    for bad in (GOOD[:-1], GOOD + b"\0", to_bytes_versioned(legacy), base64.b64decode(looking_up), b"", bytes(1_300)):
        with pytest.raises(ValueError):
            parse_message(bad)
    assert parse_message(empty).instructions == ()


def test_equal_instructions_differ_by_their_memo() -> None:
    one, other = (compile_message(WALLET, (*STEPS[:-1], memo(nonce)), BLOCKHASH.hash) for nonce in ("a1", "a2"))
    assert one != other
    assert replace(parse_message(one), instructions=()) == replace(parse_message(other), instructions=())
