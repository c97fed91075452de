"""Transactions as bytes that a wallet signed, with any memos."""

from collections.abc import Sequence

from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.settlement.solana.message import Program, memo
from dexexec.settlement.solana.transaction import assemble, compile_message, parse_message, signature_text
from dexexec.settlement.solana.wallet import Wallet
from tests.support.swap_transactions import BLOCKHASH, POOL_PROGRAM, address

OTHER_PROGRAM = address("other program")


def swap(wallet: Wallet, *memos: str, program: str = POOL_PROGRAM, names: Sequence[str] = ()) -> bytes:
    """Paid and signed by `wallet`; `names` are accounts that it gives its program."""
    call = Instruction(program, tuple(AccountMeta(one, False, True) for one in names), b"swap")
    message = compile_message(wallet.address, (call, *map(memo, memos)), BLOCKHASH.hash)
    return assemble(message, parse_message(message).signers, {wallet.address: wallet.sign(message)})


def signature_of(payload: bytes) -> str:
    """Base58."""
    return signature_text(payload)


def unsigned(payload: bytes) -> bytes:
    """The same with an invalid signature."""
    return payload[:1] + bytes(64) + payload[65:]


def for_older_memo_program(wallet: Wallet, text: str) -> bytes:
    """With a memo for the first version of the program."""
    message = compile_message(wallet.address, (Instruction(Program.MEMO_1, (), text.encode()),), BLOCKHASH.hash)
    return assemble(message, [wallet.address], {wallet.address: wallet.sign(message)})
