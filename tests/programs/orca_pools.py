"""Whirlpools as accounts, with what their positions hold. Swaps do not look at the positions themselves."""

from solders.pubkey import Pubkey

from tests.programs.direct import Direct
from tests.support.orca_accounts import PROGRAM, WhirlpoolRecord


def put_pool(direct: Direct, record: WhirlpoolRecord) -> Pubkey:
    """Write a pool, its arrays of ticks, its oracle and its vaults."""
    for address, data in record.accounts().items():
        direct.put(address, PROGRAM, data)
    for vault, mint, amount in zip(record.vaults, record.mints, record.held, strict=True):
        direct.hold(vault, mint, record.address, amount)
    return Pubkey.from_string(record.address)
