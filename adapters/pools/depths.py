"""Which pools of a pair are the deepest, where their accounts do not show it. Used when pools are searched."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from dexexec.venue import BadAnswer, SolanaChain, Unsupported
from dexexec_adapters.pools.program import KeysT
from dexexec_adapters.pools.search import read_existing
from dexexec_adapters.solana.token_accounts import read_amount

FEW_POOLS = 8
"""So many pools need no order: all of them fit into an answer of a node, with their arrays."""
MOST_COMPARED = 500
"""A program has one pool per pair and config, so there are fewer, unless a node makes them up."""


async def depths_by_vaults(
    chain: SolanaChain, pools: Sequence[KeysT], owner_of: Callable[[KeysT], str]
) -> Mapping[str, int]:
    """The product of what the vaults of each pool hold, by the pool's address; 1 for an unreadable pool.

    `owner_of` is the owner of a pool's vaults. Raises the node's errors.
    """
    compared = pools[:MOST_COMPARED]
    vaults = await read_existing(chain, [vault for pool in compared for vault in pool.vaults])
    depths = {pool.address: 1 for pool in pools}
    for pool in compared:
        for mint, vault, program in zip(pool.mints, pool.vaults, pool.token_programs, strict=True):
            # The reason is reported when the pool is priced.
            with suppress(BadAnswer, Unsupported):
                held = read_amount(vault, vaults.get(vault), program=program, mint=mint, owner=owner_of(pool))
                # One more, because a pool may hold only one token. Neither can be faked without depositing it.
                depths[pool.address] *= held + 1
    return depths
