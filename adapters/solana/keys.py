"""What needs a Solana library: addresses, signatures, reading a message. Imported only by who settles on Solana."""

from hashlib import sha256

from solders.keypair import Keypair
from solders.message import MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from dexexec.domain.solana import AccountMeta, Instruction
from dexexec_adapters.solana.spl import TOKEN, TokenAccount


class Authority:
    """The key that moves a mock pool's vaults. It guards nothing: anybody can derive it from the public text `seed`,
    and what it moves are the free coins of a localnet."""

    def __init__(self, seed: str) -> None:
        self._keypair = Keypair.from_seed(sha256(seed.encode()).digest())
        self.address = str(self._keypair.pubkey())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return bytes(self._keypair.sign_message(message))


def associated(owner: str, mint: str, program: str = TOKEN) -> str:
    """The address of an owner's token account for a mint of a token program. Raises `ValueError` for what is no
    address."""
    return str(get_associated_token_address(*map(Pubkey.from_string, (owner, mint, program))))


def token_account(owner: str, mint: str, program: str = TOKEN) -> TokenAccount:
    """An owner's token account for a mint of a token program, whether it is there or not. Raises `ValueError` for what
    is no address."""
    return TokenAccount(associated(owner, mint, program), mint, program)


def derived(program: str, *seeds: bytes) -> str:
    """The address that a program derives from seeds of at most 32 bytes each. Raises `ValueError` for what is no
    address."""
    address, _ = Pubkey.find_program_address(seeds, Pubkey.from_string(program))
    return str(address)


def read_message(message: bytes) -> tuple[str, tuple[Instruction, ...]]:
    """Payer and instructions of a version 0 message. Their accounts are without marks: the message marks them.

    Raises `ValueError` for other bytes, and where accounts come from lookup tables, as those are not in the message.
    """
    parsed = from_bytes_versioned(message)
    if not isinstance(parsed, MessageV0) or parsed.address_table_lookups:
        raise ValueError("not a version 0 message without lookup tables")
    keys = [str(key) for key in parsed.account_keys]
    try:
        steps = tuple(
            Instruction(
                keys[one.program_id_index],
                tuple(AccountMeta(keys[index]) for index in bytes(one.accounts)),
                bytes(one.data),
            )
            for one in parsed.instructions
        )
    except IndexError as error:
        raise ValueError("an instruction names an account that is not there") from error
    return keys[0], steps
