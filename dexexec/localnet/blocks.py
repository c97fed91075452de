"""The chain of blocks: which slot is processed, confirmed or finalized, and which blockhashes are still valid. Pure.

A fork removes the newest blocks. As on a cluster that leaves a minority fork, the next block has a higher slot than any
that was removed, and a lower height.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

MAX_AGE = 150
"""Blocks on top of a block after which its blockhash is too old."""
MAX_LAG = 300
KEPT_BLOCKS = 512
"""Blocks in memory: a node with the largest lag still needs the `MAX_AGE` blocks below its own tip."""
MAX_FORK = 31
"""Blocks that a fork can remove. A finalized block is never removed."""


class Commitment(StrEnum):
    """How settled a block must be for a client, the least first."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


class Consensus(StrEnum):
    """How a cluster agrees on its blocks."""

    ALPENGLOW = "alpenglow"
    TOWER = "tower"


DEPTHS: Mapping[Consensus, Mapping[Commitment, int]] = {
    # A block is finalized with its certificate, about 150 ms after it: before the block after the next.
    Consensus.ALPENGLOW: {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 1, Commitment.FINALIZED: 1},
    Consensus.TOWER: {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 2, Commitment.FINALIZED: 32},
}
"""Blocks on top of a block from which it has that commitment."""
LAMPORTS_PER_BYTE = 6_960
"""Rent of an account, unless another is chosen. Clusters lower theirs in steps."""
SLOT_MS: Mapping[Consensus, int] = {Consensus.ALPENGLOW: 200, Consensus.TOWER: 400}
"""Milliseconds of a slot on a cluster with that consensus."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its slot, its height (the number of blocks before it), its blockhash and its time (Unix seconds)."""

    slot: int
    height: int
    hash: str
    time: int

    @property
    def last_valid_height(self) -> int:
        """The last block height at which a transaction with this blockhash may land."""
        return self.height + MAX_AGE


class Blocks:
    """The newest blocks of the chain, at most `KEPT_BLOCKS`.

    `next_slot` is above every slot that ever was. `root_slot` and all slots below stay finalized after any fork.
    """

    def __init__(
        self, blocks: Iterable[Block], next_slot: int = 0, root_slot: int = 0, *, consensus: Consensus
    ) -> None:
        self.consensus = consensus
        self._depths = DEPTHS[consensus]
        self._blocks = deque(blocks, maxlen=KEPT_BLOCKS)
        self._by_hash = {block.hash: block for block in self._blocks}
        self.next_slot = max(next_slot, self.tip.slot + 1)
        # After a fork the tip is lower, and what counts as finalized must not become lower with it.
        rooted = (block.height for block in self._blocks if block.slot <= root_slot)
        self._root_height = max(self._blocks[0].height, self._deep_enough(self.tip), *rooted)

    @property
    def tip(self) -> Block:
        """The newest block, in which transactions land."""
        return self._blocks[-1]

    def next(self, blockhash: str, time: int) -> Block:
        """The block that follows the tip."""
        return Block(self.next_slot, self.tip.height + 1, blockhash, time)

    def append(self, block: Block) -> None:
        """Makes `block`, from `next`, the tip."""
        if len(self._blocks) == KEPT_BLOCKS:
            # The deque drops its oldest block by itself; the index does not.
            del self._by_hash[self._blocks[0].hash]
        self._blocks.append(block)
        self._by_hash[block.hash] = block
        self.next_slot = block.slot + 1
        self._root_height = max(self._root_height, self._deep_enough(block))

    def migrate(self) -> None:
        """Changes the consensus to Alpenglow, which finalizes blocks sooner and takes back no finalized one."""
        self.consensus = Consensus.ALPENGLOW
        self._depths = DEPTHS[self.consensus]
        self._root_height = max(self._root_height, self._deep_enough(self.tip))

    def _deep_enough(self, tip: Block) -> int:
        """The height of the newest block that is finalized by the blocks up to `tip`."""
        return tip.height - self._depths[Commitment.FINALIZED]

    def at(self, commitment: Commitment, lag: int = 0) -> Block:
        """The newest block of a commitment, on a node that is `lag` blocks behind."""
        # A chain younger than the depth has its first block as the finalized one.
        depth = min(self._depths[commitment], self.tip.height - self._root_height) + lag
        return self._blocks[-1 - depth] if depth < len(self._blocks) else self._blocks[0]

    def before(self, view: Block, count: int) -> list[Block]:
        """The newest `count` blocks before `view`, newest first."""
        return list(islice((block for block in reversed(self._blocks) if block.height < view.height), count))

    def newest(self, count: int) -> list[Block]:
        """The newest blocks, newest first."""
        return list(islice(reversed(self._blocks), count))

    def usable(self, blockhash: str, view: Block) -> Block | None:
        """The block of a blockhash that is valid as seen from `view`. None: unknown there, or too old."""
        block = self._by_hash.get(blockhash)
        # A lagging node has not seen newer blocks, so their blockhashes are unknown to it.
        return block if block and block.height <= view.height <= block.last_valid_height else None

    def on_top(self, slot: int, lag: int = 0) -> int:
        """Blocks on top of a slot on a node that is `lag` behind; negative if the node has not seen the slot."""
        count = -1
        for block in islice(reversed(self._blocks), lag, None):
            # A count beyond the finalized depth is shown as finalized, so it need not be exact.
            if block.slot < slot or count > self._depths[Commitment.FINALIZED]:
                break
            count += 1
        return count

    def commitment(self, slot: int, lag: int = 0) -> Commitment:
        """The highest commitment of a slot that the node has seen."""
        return next(level for level in reversed(Commitment) if slot <= self.at(level, lag).slot)

    def fork(self, count: int) -> list[Block]:
        """Removes the newest `count` blocks, as far as they are not finalized. Returns the removed ones."""
        removed = [self._blocks.pop() for _ in range(min(count, MAX_FORK, self.tip.height - self._root_height))]
        for block in removed:
            del self._by_hash[block.hash]
        return removed
