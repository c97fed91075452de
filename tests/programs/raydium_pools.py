"""Pools of Raydium's CPMM program, made by the program itself: `initialize` of raydium-cp-swap.

Only what an administrator of Raydium makes is written as bytes here: configs, and the account that takes the fee of a
new pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from dexexec.domain.token import WSOL
from dexexec_adapters.solana.keys import associated
from dexexec_adapters.solana.spl import ASSOCIATED_TOKEN, SYSTEM, TOKEN
from tests.programs.dumps import RAYDIUM
from tests.programs.tokens import ata, key, token_account
from tests.support.raydium_accounts import Program

CREATE_POOL_FEE = Pubkey.from_string("DNXgeM9EiiaAbaWvwjHj9fQQLAX5ZsfHyvmYUNRAdNC8")
"""Takes the fee of a new pool: a constant of the program (`lib.rs`)."""
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
INITIALIZE = bytes.fromhex("afaf6d1f0d989bed")
CONFIG = bytes.fromhex("daf42168cbcb2b6f")
LAMPORTS = 10**7
PROGRAM = Pubkey.from_string(RAYDIUM)
AUTHORITY = Pubkey.from_string(Program.at(RAYDIUM).authority)


@dataclass(frozen=True, slots=True)
class Rates:
    """A config: its index, and its rates in millionths. Protocol and fund take their parts of the trade fee."""

    index: int
    trade: int
    protocol: int
    fund: int
    create_pool: int = 150_000_000

    @property
    def address(self) -> Pubkey:
        return derived(b"amm_config", self.index.to_bytes(2, "big"))

    @property
    def account(self) -> Account:
        """As `states/config.rs` lays it out."""
        owner = bytes(Pubkey.new_unique())
        data = CONFIG + pack("<BBH4Q", 255, 0, self.index, self.trade, self.protocol, self.fund, self.create_pool)
        return Account(LAMPORTS, (data + owner + owner).ljust(236, b"\0"), PROGRAM)


RATES = (Rates(0, 2_500, 120_000, 40_000), Rates(1, 100, 250_000, 0), Rates(2, 10_000, 0, 500_000, 0))
"""The first is mainnet's usual one, the others are far from it: cheap with a large protocol share, and dear."""


def derived(*seeds: bytes) -> Pubkey:
    """An address of the program."""
    return Pubkey.find_program_address(list(seeds), PROGRAM)[0]


def accounts() -> list[tuple[Pubkey, Account]]:
    """What is there before any pool is."""
    fees = token_account(WSOL, str(Pubkey.new_unique()))
    return [(CREATE_POOL_FEE, fees), *((rates.address, rates.account) for rates in RATES)]


def vaults(pool: Pubkey, mints: Sequence[str]) -> tuple[str, str]:
    """Where the program keeps the pool's tokens."""
    first, second = (str(derived(b"pool_vault", bytes(pool), bytes(key(mint)))) for mint in mints)
    return first, second


def usual_address(rates: Rates, mints: Sequence[str]) -> Pubkey:
    """The pool that a config has for two mints, in their order."""
    return derived(b"pool", bytes(rates.address), *(bytes(key(mint)) for mint in mints))


def initialize(
    creator: Pubkey,
    pool: Pubkey,
    rates: Rates,
    mints: Sequence[str],
    amounts: Sequence[int],
    programs: Sequence[str] = (TOKEN, TOKEN),
) -> Instruction:
    """Make a pool, which opens in the next second. At another than the usual address, the pool has to sign. `programs`
    are the token programs of the mints."""
    shares = derived(b"pool_lp_mint", bytes(pool))
    held = [AccountMeta(key(vault), is_signer=False, is_writable=True) for vault in vaults(pool, mints)]
    accounts = [key(associated(str(creator), mint, program)) for mint, program in zip(mints, programs, strict=True)]
    own = [AccountMeta(one, is_signer=False, is_writable=True) for one in (*accounts, ata(creator, str(shares)))]
    there = [AccountMeta(key(mint), is_signer=False, is_writable=False) for mint in mints]
    called = (TOKEN, *programs, ASSOCIATED_TOKEN, SYSTEM)
    metas = [
        AccountMeta(creator, is_signer=True, is_writable=True),
        AccountMeta(rates.address, is_signer=False, is_writable=False),
        AccountMeta(AUTHORITY, is_signer=False, is_writable=False),
        AccountMeta(pool, is_signer=pool != usual_address(rates, mints), is_writable=True),
        *there,
        AccountMeta(shares, is_signer=False, is_writable=True),
        *own,
        *held,
        AccountMeta(CREATE_POOL_FEE, is_signer=False, is_writable=True),
        AccountMeta(derived(b"observation", bytes(pool)), is_signer=False, is_writable=True),
        *(AccountMeta(key(program), is_signer=False, is_writable=False) for program in called),
        AccountMeta(RENT, is_signer=False, is_writable=False),
    ]
    return Instruction(PROGRAM, INITIALIZE + pack("<3Q", *amounts, 0), metas)
