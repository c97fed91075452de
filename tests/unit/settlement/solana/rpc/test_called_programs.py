"""The called programs are read from a transaction's bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
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


@given(instructions, st.booleans())
def test_the_programs_of_a_transaction_are_read_from_its_bytes(steps: list[Instruction], versioned: bool) -> None:
    payer = Keypair.from_seed(bytes(32))
    message = (
        MessageV0.try_compile(payer.pubkey(), steps, [], Hash.default())
        if versioned
        else Message.new_with_blockhash(steps, payer.pubkey(), Hash.default())
    )
    raw = bytes(VersionedTransaction(message, [payer]))
    assert called_programs(raw) == tuple(str(step.program_id) for step in steps)


@pytest.mark.parametrize("size", range(0, 150, 7))
def test_a_transaction_that_is_cut_off_is_refused(size: int) -> None:
    payer = Keypair.from_seed(bytes(32))
    step = Instruction(Pubkey.default(), b"data", [])
    raw = bytes(VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [step], [], Hash.default()), [payer]))
    with pytest.raises(ValueError):
        called_programs(raw[:size])
