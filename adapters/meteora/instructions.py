"""Builds the instructions of a Meteora DAMM v2 swap, and derives the program's addresses. Without I/O.

The instruction is `swap2` of MeteoraAg/damm-v2 at a3d3827 (`instructions/swap`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain.quote import Mode, Quote
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec_adapters.pools.search import PoolKeys
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.keys import derived, token_account

SWAP2 = bytes.fromhex("414b3f4ceb5b5b88")
SWAP_MODE = {Mode.EXACT_IN: 0, Mode.EXACT_OUT: 2}
"""The third mode of the program, 1, may fill only a part of the order, so it is not used."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program at an address, with the two derived addresses that all its pools share."""

    address: str
    pool_authority: str
    event_authority: str

    @classmethod
    def at(cls, address: str) -> "Program":
        """The program at `address`. Raises `ValueError` for an invalid address."""
        return cls(address, derived(address, b"pool_authority"), derived(address, b"__event_authority"))

    def customizable_pool(self, mint_a: bytes, mint_b: bytes) -> str:
        """The address of the pair's only pool without a config. The mints may be in any order."""
        return derived(self.address, b"cpool", *sorted((mint_a, mint_b), reverse=True))

    def vaults_of_pool(self, pool: str, mints: Sequence[bytes]) -> tuple[str, ...]:
        """The addresses of a pool's vaults."""
        return tuple(derived(self.address, b"token_vault", mint, address_bytes(pool)) for mint in mints)

    def pool_of_config(self, config: str, mint_a: bytes, mint_b: bytes) -> str:
        """The address of the pair's pool from `config`. The mints may be in any order."""
        return derived(self.address, b"pool", address_bytes(config), *sorted((mint_a, mint_b), reverse=True))


def swap_steps(program: Program, pool: PoolKeys, quote: Quote, payer: str) -> tuple[Instruction, ...]:
    """The instructions that execute `quote` for the wallet `payer`, including its bounds."""
    mints = (quote.request.mint_in, quote.request.mint_out)
    source, target = (token_account(payer, mint, pool.token_program(mint)) for mint in mints)
    swap = _swap2(program, pool, quote, payer, (source.address, target.address))
    return spl.between_accounts(payer, source, target, quote.max_in, (swap,))


def _swap2(program: Program, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
    """The swap from the first to the second of the payer's token accounts."""
    # Vaults and mints are in the order A, B for both directions. The program derives the direction from the mint of the
    # account that pays.
    mode = quote.request.mode
    amounts = (quote.amount_in, quote.min_out) if mode is Mode.EXACT_IN else (quote.amount_out, quote.max_in)
    metas = (
        AccountMeta(program.pool_authority),
        *(AccountMeta(address, writable=True) for address in (pool.address, *accounts, *pool.vaults)),
        *map(AccountMeta, pool.mints),
        AccountMeta(payer, signer=True),
        # The program's own address in place of the referral account means that there is no referral.
        *map(AccountMeta, (*pool.token_programs, program.address, program.event_authority, program.address)),
    )
    data = SWAP2 + b"".join(amount.to_bytes(8, "little") for amount in amounts) + bytes([SWAP_MODE[mode]])
    return Instruction(program.address, metas, data)
