"""The sysvar accounts that differ from block to block: clock and slot hashes, as of any block. Pure."""

from collections.abc import Sequence
from functools import lru_cache

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.pubkey import Pubkey

from dexexec.localnet.blocks import Block

CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
SLOT_HASHES = Pubkey.from_string("SysvarS1otHashes111111111111111111111111111")
CHANGING = frozenset({CLOCK, SLOT_HASHES})
SLOTS_PER_EPOCH = 432_000
MAX_SLOT_HASHES = 512
INTEGER_BYTES = 8
# Every block reads the 512 hashes before it: decoding them each time would be most of what a block costs.
_decoded = lru_cache(maxsize=2 * MAX_SLOT_HASHES)(Hash.from_string)


def clock_of(block: Block) -> Clock:
    """The clock that programs read in a block."""
    epoch = block.slot // SLOTS_PER_EPOCH
    return Clock(block.slot, block.time, epoch, epoch + 1, block.time)


def slot_hashes_of(earlier: Sequence[Block]) -> list[tuple[int, Hash]]:
    """The slot hashes that programs read in a block. `earlier` are the blocks before it, newest first."""
    return [(block.slot, _decoded(block.hash)) for block in earlier[:MAX_SLOT_HASHES]]


def as_of(address: Pubkey, now: Account, block: Block, earlier: Sequence[Block]) -> Account:
    """One of the `CHANGING` accounts, whose present content is `now`, as it was in `block`."""
    if address == CLOCK:
        return _with_data(now, bytes(clock_of(block)))
    hashes = slot_hashes_of(earlier)
    entries = b"".join(slot.to_bytes(INTEGER_BYTES, "little") + bytes(known) for slot, known in hashes)
    return _with_data(now, (len(hashes).to_bytes(INTEGER_BYTES, "little") + entries).ljust(len(now.data), b"\0"))


def _with_data(account: Account, data: bytes) -> Account:
    return Account(account.lamports, data, account.owner, account.executable, account.rent_epoch)
