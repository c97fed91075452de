"""Transactions as bytes: compiles instructions to a message, parses a message, and adds signatures.

Sealing compiles what an adapter built, and parses the result for the guard. Invalid instructions of an adapter raise a
`VenueError`, never an exception of the library.
"""

from collections.abc import Mapping, Sequence

from solders.hash import Hash, ParseHashError
from solders.instruction import AccountMeta as SoldersMeta
from solders.instruction import CompiledInstruction
from solders.instruction import Instruction as SoldersInstruction
from solders.message import (
    CompileError,
    MessageV0,
    MessageV1,
    TransactionConfig,
    from_bytes_versioned,
    to_bytes_versioned,
)
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token.associated import get_associated_token_address
from solders.transaction import SanitizeError

from dexexec.domain import base58, transaction_bytes
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.domain.transaction_bytes import SIGNATURE_BYTES
from dexexec.settlement.solana.message import SIGNATURE_FEE, Message, MessageConfig, Program, Version, with_config
from dexexec.venue import BadAnswer, Unsupported

MAX_BYTES = {Version.V0: 1_232, Version.V1: 4_096}
"""The most bytes of a transaction, with its signatures. One of version 0 must fit into one packet."""
PRICE_BYTES = 12
"""What the instruction that sets the priority fee adds to a message of version 0 that has a compute unit limit."""
_MOST_SIGNATURES = 12
"""Of a transaction of version 1. One of version 0 with more does not fit."""


class TooLarge(Unsupported):
    """The transaction does not fit into the version's size."""


def compile_message(
    payer: str, instructions: Sequence[Instruction], blockhash: str, version: Version = Version.V0, spare: int = 0
) -> bytes:
    """Returns the message to sign, which `payer` pays for. In version 1 its header takes the compute budget from the
    instructions.

    Raises `BadAnswer` for values that cannot be compiled, `TooLarge` when the transaction would not fit with `spare`
    bytes more, and `Unsupported` when it has too many accounts or instructions.
    """
    most = MAX_BYTES[version] - spare
    try:
        smallest = sum(3 + len(step.accounts) + len(step.data) for step in instructions)
        # Checked first, because the library panics on lengths that the format cannot hold.
        if smallest > most:
            raise _too_large(smallest, most)
        compiled = _compiled(payer, instructions, blockhash, version)
    except (ValueError, TypeError, AttributeError, ParseHashError) as error:
        raise BadAnswer(f"the venue's instructions cannot be compiled: {error}") from error
    except (CompileError, SanitizeError) as error:
        raise Unsupported(f"the venue's instructions do not fit into a transaction: {error}") from error
    message = to_bytes_versioned(compiled)
    signers = compiled.header.num_required_signatures
    size = len(message) + SIGNATURE_BYTES * signers + (version is Version.V0)
    if size > most:
        raise _too_large(size, most)
    if signers > _MOST_SIGNATURES:
        raise Unsupported(f"the venue's instructions do not fit into a transaction: {signers} keys would have to sign")
    return message


def _compiled(
    payer: str, instructions: Sequence[Instruction], blockhash: str, version: Version
) -> MessageV0 | MessageV1:
    key = Pubkey.from_string(payer)
    recent = Hash.from_string(blockhash)
    if version is Version.V0:
        return MessageV0.try_compile(key, _steps(instructions), [], recent)
    # Adapters and the checker only know instructions, so one way through sealing serves both versions.
    config, others = with_config(instructions)
    header = TransactionConfig(
        priority_fee=config.priority_fee or None,
        compute_unit_limit=config.limit or None,
        loaded_accounts_data_size_limit=config.data_size or None,
        heap_size=config.heap_size or None,
    )
    compiled = MessageV1.try_compile(key, _steps(others), recent, header)
    # At most 64 accounts and 64 instructions, and a heap of a valid size: the library checks it only when asked to.
    compiled.sanitize()
    return compiled


def _steps(instructions: Sequence[Instruction]) -> list[SoldersInstruction]:
    return [
        SoldersInstruction(
            Pubkey.from_string(step.program),
            step.data,
            [SoldersMeta(Pubkey.from_string(meta.address), meta.signer, meta.writable) for meta in step.accounts],
        )
        for step in instructions
    ]


def parse_message(message: bytes, signature_fee: int = SIGNATURE_FEE) -> Message:
    """Parses the result of `compile_message`, for a cluster that charges so many lamports per signature.

    Raises `ValueError` for anything but a complete message of version 0 without address lookup tables, or of version 1.
    """
    if len(message) > MAX_BYTES[Version.V1]:
        raise ValueError(f"a message of {len(message)} bytes fits into no transaction")
    parsed = from_bytes_versioned(message)
    # Serialised again and compared: the guard must see every byte that is signed, also any that the parser skips.
    if not isinstance(parsed, MessageV0 | MessageV1) or to_bytes_versioned(parsed) != message:
        raise ValueError("not a message of version 0 or 1")
    if isinstance(parsed, MessageV0) and len(message) > MAX_BYTES[Version.V0]:
        raise ValueError(f"a message of version 0 with {len(message)} bytes fits into no transaction")
    # Accounts in a lookup table may change between the check and the execution.
    if isinstance(parsed, MessageV0) and parsed.address_table_lookups:
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
    return Message(
        payer=keys[0],
        signers=tuple(keys[:signers]),
        writable=tuple(meta.address for meta in metas if meta.writable),
        blockhash=str(parsed.recent_blockhash if isinstance(parsed, MessageV0) else parsed.lifetime_specifier),
        instructions=_instructions(parsed.instructions, metas),
        config=_config(parsed.config) if isinstance(parsed, MessageV1) else None,
        signature_fee=signature_fee,
    )


def _instructions(compiled: Sequence[CompiledInstruction], metas: Sequence[AccountMeta]) -> tuple[Instruction, ...]:
    try:
        return tuple(
            Instruction(
                metas[step.program_id_index].address,
                tuple(metas[index] for index in bytes(step.accounts)),
                bytes(step.data),
            )
            for step in compiled
        )
    except IndexError:
        raise ValueError("an instruction names an account that the message does not have") from None


def _config(config: TransactionConfig) -> MessageConfig:
    return MessageConfig(
        limit=config.compute_unit_limit or 0,
        priority_fee=config.priority_fee or 0,
        data_size=config.loaded_accounts_data_size_limit or 0,
        heap_size=config.heap_size or 0,
    )


def assemble(message: bytes, signers: Sequence[str], signatures: Mapping[str, bytes]) -> bytes:
    """Returns the transaction: a signature of 64 bytes for each of the message's `signers`, in their order, and the
    message. A missing signature becomes zeros, which is enough for a simulation."""
    placed = [signatures.get(signer, bytes(SIGNATURE_BYTES)) for signer in signers]
    return transaction_bytes.join(message, placed)


def signature_text(transaction: bytes) -> str:
    """Returns the id of a transaction: its first signature, base58."""
    return base58.encode(transaction_bytes.split(transaction).signatures[0])


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


def _too_large(size: int, most: int) -> TooLarge:
    return TooLarge(f"the transaction would have {size} bytes or more: at most {most} fit")
