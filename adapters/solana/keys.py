"""Derived addresses, signatures and parsed messages. Needs a Solana library, so only venues on Solana import it."""

from hashlib import sha256

from solders.keypair import Keypair
from solders.message import MessageV0, MessageV1, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from dexexec.domain.solana import AccountMeta, Instruction
from dexexec_adapters.solana.spl import TOKEN, TokenAccount


class Authority:
    """The key that moves a mock pool's vaults. It is not a secret: it is derived from the public text `seed`, and the
    coins of a localnet are free."""

    def __init__(self, seed: str) -> None:
        self._keypair = Keypair.from_seed(sha256(seed.encode()).digest())
        self.address = str(self._keypair.pubkey())

    def sign(self, message: bytes) -> bytes:
        """The signature of `message` (64 bytes)."""
        return bytes(self._keypair.sign_message(message))


def associated(owner: str, mint: str, program: str = TOKEN) -> str:
    """The address of an owner's associated token account. `program` is the mint's token program.

    Raises `ValueError` for an invalid address.
    """
    return str(get_associated_token_address(*map(Pubkey.from_string, (owner, mint, program))))


def token_account(owner: str, mint: str, program: str = TOKEN) -> TokenAccount:
    """An owner's associated token account, whether it exists or not. Raises `ValueError` for an invalid address."""
    return TokenAccount(associated(owner, mint, program), mint, program)


def derived(program: str, *seeds: bytes) -> str:
    """The address that a program derives from seeds of at most 32 bytes each. Raises `ValueError` for an invalid
    address."""
    return derived_with_bump(program, *seeds)[0]


def derived_with_bump(program: str, *seeds: bytes) -> tuple[str, int]:
    """The same, with the number that the program stores beside it."""
    address, bump = Pubkey.find_program_address(seeds, Pubkey.from_string(program))
    return str(address), bump


def read_message(message: bytes) -> tuple[str, tuple[Instruction, ...]]:
    """The payer and the instructions of a message of version 0 or 1. The accounts have no signer and writable flags.

    Raises `ValueError` for other bytes, and for a message with lookup tables, because it lacks some addresses.
    """
    parsed = from_bytes_versioned(message)
    lookups = parsed.address_table_lookups if isinstance(parsed, MessageV0) else ()
    if not isinstance(parsed, MessageV0 | MessageV1) or lookups:
        raise ValueError("not a message of version 0 or 1 without lookup tables")
    keys = [str(key) for key in parsed.account_keys]
    try:
        steps = tuple(
            Instruction(
                keys[step.program_id_index],
                tuple(AccountMeta(keys[index]) for index in bytes(step.accounts)),
                bytes(step.data),
            )
            for step in parsed.instructions
        )
    except IndexError as error:
        raise ValueError("an instruction refers to an account that the message lacks") from error
    return keys[0], steps
