"""The called programs are read from a transaction's bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, TransactionConfig
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dexexec.settlement.solana.rpc.called_programs import called_programs

keys = st.binary(min_size=32, max_size=32).map(Pubkey)
instructions = st.lists(
    st.builds(
        Instruction,
        keys,
        st.binary(max_size=300),
        st.lists(st.builds(AccountMeta, keys, st.just(False), st.booleans()), max_size=5),
    ),
    max_size=6,
)


def signed(kind: type[Message | MessageV0 | MessageV1], steps: list[Instruction]) -> bytes:
    """A transaction with a message of this version."""
    payer = Keypair.from_seed(bytes(32))
    message: Message | MessageV0 | MessageV1
    if kind is MessageV1:
        message = MessageV1.try_compile(payer.pubkey(), steps, Hash.default(), TransactionConfig(1_000, 200_000))
    elif kind is MessageV0:
        message = MessageV0.try_compile(payer.pubkey(), steps, [], Hash.default())
    else:
        message = Message.new_with_blockhash(steps, payer.pubkey(), Hash.default())
    return bytes(VersionedTransaction(message, [payer]))


KINDS = (Message, MessageV0, MessageV1)


@given(instructions, st.sampled_from(KINDS))
def test_the_programs_of_a_transaction_are_read_from_its_bytes(
    steps: list[Instruction], kind: type[Message | MessageV0 | MessageV1]
) -> None:
    assert called_programs(signed(kind, steps)) == tuple(str(step.program_id) for step in steps)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_transaction_that_is_cut_off_is_refused(kind: type[Message | MessageV0 | MessageV1]) -> None:
    raw = signed(kind, [Instruction(Pubkey.default(), b"data", [])])
    # The last byte of version 0 is the number of its lookup tables, which name no programs.
    for size in range(len(raw) - (kind is MessageV0)):
        with pytest.raises(ValueError):
            called_programs(raw[:size])


def test_an_instruction_of_version_1_names_a_program_of_the_message() -> None:
    raw = bytearray(signed(MessageV1, [Instruction(Pubkey.default(), b"", [])]))
    at = raw.index(bytes([1, 0, 0, 0]), 40 + 2 * 32)
    raw[at] = 2
    with pytest.raises(ValueError):
        called_programs(bytes(raw))
