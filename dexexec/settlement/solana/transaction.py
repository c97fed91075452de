"""Transactions as bytes: compiles instructions to a message, parses a message, and adds signatures.

Sealing compiles what an adapter built, and parses the result for the guard. Invalid instructions of an adapter raise a
`VenueError`, never an exception of the library.
"""

from collections.abc import Callable, Mapping, Sequence

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash, ParseHashError
from solders.instruction import AccountMeta as SoldersMeta
from solders.instruction import CompiledInstruction
from solders.instruction import Instruction as SoldersInstruction
from solders.message import (
    CompileError,
    MessageAddressTableLookup,
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
from dexexec.settlement.solana.lookup_table import LookupTable
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
    payer: str,
    instructions: Sequence[Instruction],
    blockhash: str,
    version: Version = Version.V0,
    *,
    spare: int = 0,
    tables: Sequence[LookupTable] = (),
) -> bytes:
    """Returns the message to sign, which `payer` pays for. In version 1 its header takes the compute budget from the
    instructions. In version 0 it names the accounts that `tables` have by their indexes there, apart from signers and
    called programs.

    Raises `BadAnswer` for values that cannot be compiled, `TooLarge` when the transaction would not fit with `spare`
    bytes more, and `Unsupported` when it has too many accounts or instructions.
    """
    most = MAX_BYTES[version]
    try:
        smallest = spare + sum(3 + len(step.accounts) + len(step.data) for step in instructions)
        # Checked first, because the library panics on lengths that the format cannot hold.
        if smallest > most:
            raise _too_large(smallest, most)
        compiled = _compiled(payer, instructions, blockhash, version, tables)
    except (ValueError, TypeError, AttributeError, ParseHashError) as error:
        raise BadAnswer(f"the venue's instructions cannot be compiled: {error}") from error
    except (CompileError, SanitizeError) as error:
        raise Unsupported(f"the venue's instructions do not fit into a transaction: {error}") from error
    message = to_bytes_versioned(compiled)
    signers = compiled.header.num_required_signatures
    size = len(message) + SIGNATURE_BYTES * signers + (version is Version.V0) + spare
    if size > most:
        raise _too_large(size, most)
    if signers > _MOST_SIGNATURES:
        raise Unsupported(f"the venue's instructions do not fit into a transaction: {signers} keys would have to sign")
    return message


def _compiled(
    payer: str,
    instructions: Sequence[Instruction],
    blockhash: str,
    version: Version,
    tables: Sequence[LookupTable],
) -> MessageV0 | MessageV1:
    key = Pubkey.from_string(payer)
    recent = Hash.from_string(blockhash)
    if version is Version.V0:
        steps = _steps(instructions)
        return MessageV0.try_compile(key, steps, [_solders_table(one) for one in _useful(tables, instructions)], recent)
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


def _useful(tables: Sequence[LookupTable], instructions: Sequence[Instruction]) -> list[LookupTable]:
    """Returns the tables that make the message shorter."""
    # Signers and called programs cannot be taken from a table. The payer signs in any case.
    fixed = {step.program for step in instructions}
    fixed |= {meta.address for step in instructions for meta in step.accounts if meta.signer}
    left = {meta.address for step in instructions for meta in step.accounts} - fixed
    useful = []
    for table in tables:
        found = left.intersection(table.addresses)
        # A table costs 34 bytes and one for each index, an address 32: for a single one it does not pay.
        if len(found) > 1:
            useful.append(table)
            left -= found
    return useful


def _solders_table(table: LookupTable) -> AddressLookupTableAccount:
    return AddressLookupTableAccount(Pubkey.from_string(table.address), [*map(Pubkey.from_string, table.addresses)])


def _steps(instructions: Sequence[Instruction]) -> list[SoldersInstruction]:
    return [
        SoldersInstruction(
            Pubkey.from_string(step.program),
            step.data,
            [SoldersMeta(Pubkey.from_string(meta.address), meta.signer, meta.writable) for meta in step.accounts],
        )
        for step in instructions
    ]


def parse_message(message: bytes, signature_fee: int = SIGNATURE_FEE, tables: Sequence[LookupTable] = ()) -> Message:
    """Parses the result of `compile_message`, for a cluster that charges so many lamports per signature. Accounts that
    the message takes from `tables` have their addresses, as if they stood in the message.

    Raises `ValueError` for anything but a complete message of version 0, or of version 1, and for one that uses another
    table or an index that the table does not have.
    """
    by_address = {table.address: table for table in tables}

    def look_up(table: str, index: int) -> str:
        if table not in by_address:
            raise ValueError(f"the message uses address lookup tables: {table} was not read")
        addresses = by_address[table].addresses
        if index >= len(addresses):
            raise ValueError(f"the lookup table {table} has no address {index}")
        return addresses[index]

    return _parse(message, signature_fee, look_up)


def parse_recorded(message: bytes) -> Message:
    """Parses a message that is on the chain, whose tables are not read. An account that it takes from one has the name
    `TABLE#INDEX`, which is no address. Payer, signers, programs and memos are in the message itself. Raises
    `ValueError` as `parse_message`."""
    return _parse(message, SIGNATURE_FEE, lambda table, index: f"{table}#{index}")


def _parse(message: bytes, signature_fee: int, look_up: Callable[[str, int], str]) -> Message:
    if len(message) > MAX_BYTES[Version.V1]:
        raise ValueError(f"a message of {len(message)} bytes fits into no transaction")
    parsed = from_bytes_versioned(message)
    # Serialised again and compared: the guard must see every byte that is signed, also any that the parser skips.
    if not isinstance(parsed, MessageV0 | MessageV1) or to_bytes_versioned(parsed) != message:
        raise ValueError("not a message of version 0 or 1")
    if isinstance(parsed, MessageV0) and len(message) > MAX_BYTES[Version.V0]:
        raise ValueError(f"a message of version 0 with {len(message)} bytes fits into no transaction")
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
    if isinstance(parsed, MessageV0):
        metas += _loaded(parsed.address_table_lookups, look_up)
    # Named twice, an account could be read-only for the guard's eyes and writable for the program.
    if len({meta.address for meta in metas}) < len(metas):
        raise ValueError("the message names an account twice")
    return Message(
        payer=keys[0],
        signers=tuple(keys[:signers]),
        writable=tuple(meta.address for meta in metas if meta.writable),
        blockhash=str(parsed.recent_blockhash if isinstance(parsed, MessageV0) else parsed.lifetime_specifier),
        instructions=_instructions(parsed.instructions, metas, len(keys)),
        config=_config(parsed.config) if isinstance(parsed, MessageV1) else None,
        signature_fee=signature_fee,
    )


def _loaded(lookups: Sequence[MessageAddressTableLookup], look_up: Callable[[str, int], str]) -> list[AccountMeta]:
    """Returns the accounts from tables in the order of their indexes: the writable ones of all tables come first."""
    found = []
    for writable in (True, False):
        for lookup in lookups:
            indexes = bytes(lookup.writable_indexes if writable else lookup.readonly_indexes)
            table = str(lookup.account_key)
            found += [AccountMeta(look_up(table, index), False, writable) for index in indexes]
    return found


def _instructions(
    compiled: Sequence[CompiledInstruction], metas: Sequence[AccountMeta], keys: int
) -> tuple[Instruction, ...]:
    """Returns the instructions of a message with `metas`, the first `keys` of which are in the message itself."""
    if any(step.program_id_index >= keys for step in compiled):
        raise ValueError("an instruction calls a program that the message does not have")
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
