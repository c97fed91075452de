"""Builds the instructions of a Raydium CPMM swap, and derives the program's addresses. Without I/O.

The instructions are `swap_base_input` and `swap_base_output` of raydium-cp-swap (`instructions/swap_base_input.rs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain.quote import Mode, Quote
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec_adapters.raydium.layout import PoolKeys
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.keys import derived, token_account

SWAP_BASE_INPUT = bytes.fromhex("8fbe5adac41e33de")
SWAP_BASE_OUTPUT = bytes.fromhex("37d96256a34ab4ad")


@dataclass(frozen=True, slots=True)
class Program:
    """The program at an address, with the derived address that owns the vaults of all its pools."""

    address: str
    authority: str

    @classmethod
    def at(cls, address: str) -> "Program":
        """The program at `address`. Raises `ValueError` for an invalid address."""
        return cls(address, derived(address, b"vault_and_lp_mint_auth_seed"))

    def pool_of_config(self, config: str, mint_a: bytes, mint_b: bytes) -> str:
        """The address of the pair's pool from `config`, if it was created at the derived address."""
        return derived(self.address, b"pool", address_bytes(config), *sorted((mint_a, mint_b)))

    def accounts_of_pool(self, pool: str, mints: Sequence[bytes]) -> tuple[str, ...]:
        """The addresses of a pool's vaults and of its record of prices."""
        at = address_bytes(pool)
        vaults = (derived(self.address, b"pool_vault", at, mint) for mint in mints)
        return (*vaults, derived(self.address, b"observation", at))


def swap_steps(program: Program, pool: PoolKeys, quote: Quote, payer: str) -> tuple[Instruction, ...]:
    """The instructions that execute `quote` for the wallet `payer`, including its bounds."""
    mints = (quote.request.mint_in, quote.request.mint_out)
    source, target = (token_account(payer, mint, pool.token_program(mint)) for mint in mints)
    swap = _swap(program, pool, quote, payer, (source.address, target.address))
    return spl.between_accounts(payer, source, target, quote.max_in, (swap,))


def _swap(program: Program, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
    """The swap from the first to the second of the payer's token accounts."""
    # Both instructions take the same thirteen accounts. The vault in the input's place selects the direction.
    way = slice(None) if quote.request.mint_in == pool.mints[0] else slice(None, None, -1)
    metas = (
        AccountMeta(payer, signer=True),
        AccountMeta(program.authority),
        AccountMeta(pool.amm_config),
        *(AccountMeta(address, writable=True) for address in (pool.address, *accounts, *pool.vaults[way])),
        *map(AccountMeta, (*pool.token_programs[way], *pool.mints[way])),
        AccountMeta(pool.observation, writable=True),
    )
    if quote.request.mode is Mode.EXACT_IN:
        tag = SWAP_BASE_INPUT
        amounts = (quote.amount_in, quote.min_out)
    else:
        tag = SWAP_BASE_OUTPUT
        amounts = (quote.max_in, quote.amount_out)
    return Instruction(program.address, metas, tag + b"".join(amount.to_bytes(8, "little") for amount in amounts))
