"""A Meteora DAMM v2 swap as instructions, and the addresses that the program derives. Pure, for
`adapters/meteora/venue.py`.

`swap2` of MeteoraAg/damm-v2 at a3d3827 (`instructions/swap`): vaults and mints stand in the order A, B whatever is
swapped, and the program sees from the mint of the account that pays which way it goes. A referral account is optional:
the program's own address in its place says that there is none.
"""

from dataclasses import dataclass

from dexexec.domain.quote import Mode, Quote
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec_adapters.pools.search import PoolKeys
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.keys import derived, token_account

SWAP2 = bytes.fromhex("414b3f4ceb5b5b88")
SWAP_MODE = {Mode.EXACT_IN: 0, Mode.EXACT_OUT: 2}
"""1 would fill in part, up to the end of the pool's price range."""


@dataclass(frozen=True, slots=True)
class Program:
    """A deployment of the program, and the two addresses that all its pools share."""

    address: str
    pool_authority: str
    event_authority: str

    @classmethod
    def at(cls, address: str) -> "Program":
        """Raises `ValueError` for what is no address."""
        return cls(address, derived(address, b"pool_authority"), derived(address, b"__event_authority"))

    def customizable_pool(self, mint_a: bytes, mint_b: bytes) -> str:
        """The pool of a pair, in any order, that was made without a config: there is one at most."""
        return derived(self.address, b"cpool", *sorted((mint_a, mint_b), reverse=True))

    def pool_of_config(self, config: str, mint_a: bytes, mint_b: bytes) -> str:
        """The pool of a pair, in any order, that was made from `config`."""
        return derived(self.address, b"pool", address_bytes(config), *sorted((mint_a, mint_b), reverse=True))


def swap_steps(program: Program, pool: PoolKeys, quote: Quote, payer: str) -> tuple[Instruction, ...]:
    """What executes `quote` for the wallet `payer`, with its bounds inside."""
    mints = (quote.request.mint_in, quote.request.mint_out)
    source, target = (token_account(payer, mint, pool.token_program(mint)) for mint in mints)
    swap = _swap2(program, pool, quote, payer, (source.address, target.address))
    return spl.between_accounts(payer, source, target, quote.max_in, (swap,))


def _swap2(program: Program, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
    """From the first to the second of the payer's token accounts: (amount in, least out) or (amount out, most in)."""
    mode = quote.request.mode
    amounts = (quote.amount_in, quote.min_out) if mode is Mode.EXACT_IN else (quote.amount_out, quote.max_in)
    metas = (
        AccountMeta(program.pool_authority),
        *(AccountMeta(address, writable=True) for address in (pool.address, *accounts, *pool.vaults)),
        *map(AccountMeta, pool.mints),
        AccountMeta(payer, signer=True),
        *map(AccountMeta, (*pool.token_programs, program.address, program.event_authority, program.address)),
    )
    data = SWAP2 + b"".join(amount.to_bytes(8, "little") for amount in amounts) + bytes([SWAP_MODE[mode]])
    return Instruction(program.address, metas, data)
