"""Transactions as bytes: compiles instructions to a message, parses a message, and adds signatures.

Sealing compiles what an adapter built, and parses the result for the guard. Invalid instructions of an adapter raise a
`VenueError`, never an exception of the library.
"""

from collections.abc import Mapping, Sequence

from solders.hash import Hash, ParseHashError
from solders.instruction import AccountMeta as SoldersMeta
from solders.instruction import Instruction as SoldersInstruction
from solders.message import CompileError, MessageV0, from_bytes_versioned, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token.associated import get_associated_token_address

from dexexec.domain import base58
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.settlement.solana.message import Message, Program
from dexexec.venue import BadAnswer, Unsupported

MAX_BYTES = 1_232
"""A transaction must fit into one packet."""
SIGNATURE_BYTES = 64


def compile_message(payer: str, instructions: Sequence[Instruction], blockhash: str) -> bytes:
    """Returns the version 0 message to sign, which `payer` pays for.

    Raises `BadAnswer` for values that cannot be compiled, `Unsupported` when the transaction would not fit.
    """
    try:
        smallest = sum(3 + len(step.accounts) + len(step.data) for step in instructions)
        # Checked first, because the library panics on lengths that the format cannot hold.
        if smallest > MAX_BYTES:
            raise _too_large(smallest)
        steps = [
            SoldersInstruction(
                Pubkey.from_string(step.program),
                step.data,
                [SoldersMeta(Pubkey.from_string(meta.address), meta.signer, meta.writable) for meta in step.accounts],
            )
            for step in instructions
        ]
        compiled = MessageV0.try_compile(Pubkey.from_string(payer), steps, [], Hash.from_string(blockhash))
    except (ValueError, TypeError, AttributeError, ParseHashError) as error:
        raise BadAnswer(f"the venue's instructions cannot be compiled: {error}") from error
    except CompileError as error:
        raise Unsupported(f"the venue's instructions do not fit into a transaction: {error}") from error
    message = to_bytes_versioned(compiled)
    size = 1 + SIGNATURE_BYTES * compiled.header.num_required_signatures + len(message)
    if size > MAX_BYTES:
        raise _too_large(size)
    return message


def parse_message(message: bytes) -> Message:
    """Parses the result of `compile_message`. Raises `ValueError` for anything but a complete version 0 message without
    address lookup tables."""
    if len(message) > MAX_BYTES:
        raise ValueError(f"a message of {len(message)} bytes fits into no transaction")
    parsed = from_bytes_versioned(message)
    # Serialised again and compared: the guard must see every byte that is signed, also any that the parser skips.
    if not isinstance(parsed, MessageV0) or to_bytes_versioned(parsed) != message:
        raise ValueError("not a version 0 message")
    # Accounts in a lookup table may change between the check and the execution.
    if parsed.address_table_lookups:
        raise ValueError("the message uses address lookup tables")
    header = parsed.header
    keys = [str(key) for key in parsed.account_keys]
    signers = header.num_required_signatures
    written_signers = signers - header.num_readonly_signed_accounts
    written = len(keys) - header.num_readonly_unsigned_accounts
    # The keys are ordered: writable signers, other signers, other writable accounts, read-only accounts.
    if not 0 < written_signers <= signers <= written:
        raise ValueError("the message's header does not fit its accounts")
    metas = [
        AccountMeta(key, index < signers, index < written_signers or signers <= index < written)
        for index, key in enumerate(keys)
    ]
    try:
        instructions = tuple(
            Instruction(
                keys[compiled.program_id_index],
                tuple(metas[index] for index in bytes(compiled.accounts)),
                bytes(compiled.data),
            )
            for compiled in parsed.instructions
        )
    except IndexError:
        raise ValueError("an instruction names an account that the message does not have") from None
    return Message(
        payer=keys[0],
        signers=tuple(keys[:signers]),
        writable=tuple(meta.address for meta in metas if meta.writable),
        blockhash=str(parsed.recent_blockhash),
        instructions=instructions,
    )


def assemble(message: bytes, signers: Sequence[str], signatures: Mapping[str, bytes]) -> bytes:
    """Returns the transaction: a signature of 64 bytes for each of the message's `signers`, in their order, and the
    message. A missing signature becomes zeros, which is enough for a simulation."""
    placed = b"".join(signatures.get(signer, bytes(SIGNATURE_BYTES)) for signer in signers)
    return bytes([len(signers)]) + placed + message


def signature_text(transaction: bytes) -> str:
    """Returns the id of a transaction: its first signature, base58."""
    return base58.encode(transaction[1 : 1 + SIGNATURE_BYTES])


def is_signed(message: bytes, signer: str, signature: bytes) -> bool:
    """Whether `signature` is a valid signature of `signer` over `message`."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    return Signature.from_bytes(signature).verify(Pubkey.from_string(signer), message)


def associated_token_account(owner: str, mint: str, program: str = Program.TOKEN) -> str:
    """Returns the address of `owner`'s associated token account for `mint`. Raises `ValueError` for invalid
    addresses."""
    address = get_associated_token_address(
        Pubkey.from_string(owner), Pubkey.from_string(mint), Pubkey.from_string(program)
    )
    return str(address)


def _too_large(size: int) -> Unsupported:
    return Unsupported(f"the transaction would have {size} bytes or more: at most {MAX_BYTES} fit")
