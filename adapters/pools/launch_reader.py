"""Reads new pools from the chain: each pool with its vaults and mints, all as of one slot."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Protocol

from dexexec.domain.launch import NewPool, PoolToken
from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer, SolanaChain, Unsupported
from dexexec_adapters.curves.swap import ChainTime
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pools.search import Mints, PoolKeys, read_existing
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.chain_clock import CLOCK, read_clock
from dexexec_adapters.solana.token_accounts import read_amount, read_mint

POOLS_AT_ONCE = 16
"""Their accounts, five of each, must fit into one answer of a node."""


class PoolProgram(Protocol):
    """The part of `PoolVenue` that this module uses."""

    name: ClassVar[str]
    options: PoolOptions

    @property
    def chain(self) -> SolanaChain:
        """The chain of the pools."""

    def vault_owner(self, pool: Any) -> str:
        """The address that owns the vaults of a pool."""

    async def learn(self, pair: Mints) -> None:
        """Read what the pools of a pair do not show themselves."""

    def read_pool(self, address: str, account: Account | None) -> Any:
        """The pool at an address. Raises `BadAnswer` or `Unsupported`."""

    def reserves(self, state: Any, held: tuple[int, int]) -> tuple[int, int]:
        """What the pool can trade of each token, in base units."""

    def launched_at_ms(self, state: Any, now: ChainTime) -> int:
        """Since when the pool allows swaps (Unix time)."""


class LaunchReader:
    """Reads the pools of one pair."""

    def __init__(self, program: PoolProgram, pair: Mints) -> None:
        self._program = program
        self._pair = pair

    async def read(self, addresses: Collection[str]) -> Sequence[NewPool]:
        """The pools of the pair at these addresses. Everything else is skipped. Raises the node's `VenueError`."""
        # The pools of the options are the only ones that may be traded with, so others must not be reported.
        allowed = self._program.options.pools
        wanted = [address for address in sorted(addresses) if not allowed or address in allowed]
        existing = await read_existing(self._program.chain, wanted)
        if existing:
            # The mints of a pair exist before its first pool, and perhaps not earlier.
            await self._program.learn(self._pair)
        found = [keys for address, account in existing.items() if (keys := self._keys(address, account)) is not None]
        launches: list[NewPool] = []
        for begin in range(0, len(found), POOLS_AT_ONCE):
            launches += await self._read_together(found[begin : begin + POOLS_AT_ONCE])
        return launches

    def _keys(self, address: str, account: Account) -> PoolKeys | None:
        try:
            keys: PoolKeys = self._program.read_pool(address, account).keys
        except (BadAnswer, Unsupported):
            return None
        return keys if sorted(map(address_bytes, keys.mints)) == [*self._pair] else None

    async def _read_together(self, pools: Sequence[PoolKeys]) -> list[NewPool]:
        # The pools themselves are read again, so that reserves and vaults are of the same slot.
        wanted = [CLOCK, *(address for keys in pools for address in (keys.address, *keys.vaults, *keys.mints))]
        wanted = list(dict.fromkeys(wanted))
        answer = await self._program.chain.accounts(wanted)
        accounts = dict(zip(wanted, answer.found, strict=True))
        launches = []
        for keys in pools:
            with suppress(BadAnswer, Unsupported):
                launches.append(self._launch(keys, accounts, answer.slot))
        return launches

    def _launch(self, keys: PoolKeys, accounts: Mapping[str, Account | None], slot: int) -> NewPool:
        """Raises `BadAnswer` or `Unsupported`."""
        program = self._program
        state = program.read_pool(keys.address, accounts[keys.address])
        if state.keys != keys:
            raise BadAnswer(f"the pool {keys.address} has other mints, vaults or programs than a moment before")
        owner = program.vault_owner(keys)
        held_a, held_b = (
            read_amount(vault, accounts[vault], program=token_program, mint=mint, owner=owner)
            for mint, vault, token_program in zip(keys.mints, keys.vaults, keys.token_programs, strict=True)
        )
        sides = zip(keys.mints, keys.token_programs, program.reserves(state, (held_a, held_b)), strict=True)
        first, second = (
            PoolToken(
                mint=mint, reserve=max(reserve, 0), **read_mint(mint, accounts[mint], program=token_program)._asdict()
            )
            for mint, token_program, reserve in sides
        )
        return NewPool(
            venue=program.name,
            address=keys.address,
            tokens=(first, second),
            slot=slot,
            launched_at_ms=program.launched_at_ms(state, read_clock(accounts[CLOCK])),
        )
