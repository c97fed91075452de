"""The chain of blocks: which slot is processed, confirmed, finalized, and which blockhashes may still be used.

Pure. A fork removes the newest blocks; the next one gets a higher slot than any that was removed, on a lower height, as
on a cluster that leaves a minority fork.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

MAX_AGE = 150
"""Blocks on top of a block after which its blockhash is too old."""
KEPT = 512
"""Blocks in memory: the window of blockhashes below a node that lags as far as it may."""
MAX_LAG = 300
MAX_FORK = 31
"""What is finalized cannot be taken back."""


class Commitment(StrEnum):
    """How sure a client wants to be."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


DEPTH = {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 2, Commitment.FINALIZED: 32}
"""Blocks on top of a block from which it counts as that."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its slot, its height (the number of blocks before it), its blockhash, its time (Unix seconds)."""

    slot: int
    height: int
    hash: str
    time: int

    @property
    def last_valid_height(self) -> int:
        """The last block height at which a transaction with this blockhash may land."""
        return self.height + MAX_AGE


class Blocks:
    """The newest blocks of the chain, at most `KEPT`. `next_slot` is above any slot there ever was; what was finalized
    once, `root_slot` and all below, stays so whatever forks there are."""

    def __init__(self, blocks: Iterable[Block], next_slot: int = 0, root_slot: int = 0) -> None:
        self._blocks = deque(blocks, maxlen=KEPT)
        self._by_hash = {block.hash: block for block in self._blocks}
        self.next_slot = max(next_slot, self.tip.slot + 1)
        rooted = (block.height for block in self._blocks if block.slot <= root_slot)
        self._root = max(self._blocks[0].height, self.tip.height - DEPTH[Commitment.FINALIZED], *rooted)

    @property
    def tip(self) -> Block:
        """The newest block, in which transactions land."""
        return self._blocks[-1]

    def next(self, blockhash: str, time: int) -> Block:
        """The block that would come after the tip."""
        return Block(self.next_slot, self.tip.height + 1, blockhash, time)

    def append(self, block: Block) -> None:
        """Make `block`, from `next`, the tip."""
        if len(self._blocks) == KEPT:
            del self._by_hash[self._blocks[0].hash]
        self._blocks.append(block)
        self._by_hash[block.hash] = block
        self.next_slot = block.slot + 1
        self._root = max(self._root, block.height - DEPTH[Commitment.FINALIZED])

    def at(self, commitment: Commitment, lag: int = 0) -> Block:
        """The newest block of a commitment, on a node that is `lag` blocks behind."""
        depth = min(DEPTH[commitment], self.tip.height - self._root) + lag
        return self._blocks[-1 - depth] if depth < len(self._blocks) else self._blocks[0]

    def newest(self, count: int) -> list[Block]:
        """The newest blocks, the newest first."""
        return list(islice(reversed(self._blocks), count))

    def usable(self, blockhash: str, view: Block) -> Block | None:
        """The block of a blockhash that may be used as seen from `view`; None if it is unknown there or too old."""
        block = self._by_hash.get(blockhash)
        return block if block and block.height <= view.height <= block.last_valid_height else None

    def on_top(self, slot: int, lag: int = 0) -> int:
        """Blocks on top of a slot on a node that is `lag` behind; negative if the node has not seen the slot."""
        count = -1
        for block in islice(reversed(self._blocks), lag, None):
            if block.slot < slot or count > DEPTH[Commitment.FINALIZED]:
                break
            count += 1
        return count

    def commitment(self, slot: int, lag: int = 0) -> Commitment:
        """What a slot that the node has seen counts as there."""
        return next(level for level in reversed(Commitment) if slot <= self.at(level, lag).slot)

    def fork(self, count: int) -> list[Block]:
        """Remove the newest blocks, at most `MAX_FORK`, none that is finalized; those that are gone."""
        gone = [self._blocks.pop() for _ in range(min(count, MAX_FORK, self.tip.height - self._root))]
        for block in gone:
            del self._by_hash[block.hash]
        return gone
