"""Lookup tables on a localnet, made by the instructions of their own program."""

from collections.abc import Sequence

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM

from dexexec.settlement.solana.lookup_table import TABLE_PROGRAM
from tests.support.localnet.in_process import InProcessLocalnet

PROGRAM = Pubkey.from_string(TABLE_PROGRAM)
MOST_PER_STEP = 20
"""Addresses that fit into one transaction."""
UNTIL_CONFIRMED = 4
"""Slots until a later slot than the last one in which a table was extended is confirmed."""


async def make_table(net: InProcessLocalnet, authority: Keypair, addresses: Sequence[str]) -> str:
    """A new table with these addresses, which may be used from the next slot on; its address."""
    await net.advance(2)
    slot = (await net.rpc("getSlot", {"commitment": "processed"})) - 1
    table, bump = Pubkey.find_program_address([bytes(authority.pubkey()), slot.to_bytes(8, "little")], PROGRAM)
    create = (0).to_bytes(4, "little") + slot.to_bytes(8, "little") + bytes([bump])
    await net.land([_call(create, table, authority)], authority)
    for start in range(0, len(addresses), MOST_PER_STEP):
        await extend_table(net, authority, str(table), addresses[start : start + MOST_PER_STEP])
    await net.advance(UNTIL_CONFIRMED)
    return str(table)


async def extend_table(net: InProcessLocalnet, authority: Keypair, table: str, addresses: Sequence[str]) -> None:
    """Appends addresses to a table."""
    keys = b"".join(bytes(Pubkey.from_string(one)) for one in addresses)
    data = (2).to_bytes(4, "little") + len(addresses).to_bytes(8, "little") + keys
    await net.land([_call(data, Pubkey.from_string(table), authority)], authority)


async def deactivate_table(net: InProcessLocalnet, authority: Keypair, table: str) -> None:
    """Begins to close a table."""
    metas = [AccountMeta(Pubkey.from_string(table), False, True), AccountMeta(authority.pubkey(), True, False)]
    await net.land([Instruction(PROGRAM, (3).to_bytes(4, "little"), metas)], authority)


def _call(data: bytes, table: Pubkey, authority: Keypair) -> Instruction:
    own = authority.pubkey()
    metas = [
        AccountMeta(table, False, True),
        AccountMeta(own, True, False),
        AccountMeta(own, True, True),
        AccountMeta(SYSTEM, False, False),
    ]
    return Instruction(PROGRAM, data, metas)
