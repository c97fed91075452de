"""Pools of Raydium's AMM v4, as accounts. The program itself makes them only together with a market of an order book,
which is not part of this repository."""

from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from dexexec.domain.token import Token
from tests.programs.direct import Direct
from tests.support.raydium_amm_accounts import AUTHORITY, PROGRAM, pool_data

COUNTERS = range(256, 336)


class AmmPool(NamedTuple):
    """A pool as it was made. Pairs are in the order coin, pc."""

    address: Pubkey
    tokens: tuple[Token, Token]
    reserves: tuple[int, int]


def put_pool(
    direct: Direct,
    tokens: tuple[Token, Token],
    reserves: tuple[int, int],
    taken: tuple[int, int] = (0, 0),
    **state: Any,
) -> AmmPool:
    """Write a pool and its vaults, which hold `reserves`, and `taken` besides for the protocol.

    `state` are arguments of `pool_data`.
    """
    address, *vaults = (Pubkey.new_unique() for _ in range(3))
    for vault, token, reserve, apart in zip(vaults, tokens, reserves, taken, strict=True):
        direct.hold(vault, token.mint, AUTHORITY, reserve + apart)
    data = pool_data([token.mint for token in tokens], list(map(str, vaults)), taken=taken, **state)
    direct.put(address, PROGRAM, data)
    return AmmPool(address, tokens, reserves)


def forget_counters(direct: Direct, pool: AmmPool) -> None:
    """Set what the pool counted to 0. Builds with order books add up the fees of all swaps in 64 bits, and fail beyond:
    no pool gets there, but a thousand swaps of any size do."""
    data = direct.data(pool.address)
    direct.put(pool.address, PROGRAM, data[: COUNTERS.start] + bytes(len(COUNTERS)) + data[COUNTERS.stop :])
