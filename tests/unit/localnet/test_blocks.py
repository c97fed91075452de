"""The localnet's chain of blocks: the window of blockhashes, commitment, lag and forks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.localnet.blocks import KEPT_BLOCKS, MAX_AGE, MAX_FORK, Block, Blocks, Commitment, Consensus

PROCESSED, CONFIRMED, FINALIZED = Commitment


def chain(length: int, consensus: Consensus = Consensus.TOWER) -> Blocks:
    """Blocks 0 to length - 1, whose hashes are their slots."""
    blocks = Blocks([Block(0, 0, "0", 0)], consensus=consensus)
    for slot in range(1, length):
        blocks.append(blocks.next(str(slot), slot))
    return blocks


def test_a_blockhash_may_be_used_until_150_blocks_are_on_top_of_it() -> None:
    blocks = chain(1)
    born = blocks.tip
    assert born.last_valid_height == MAX_AGE == 150
    for slot in range(1, 151):
        assert blocks.usable("0", blocks.tip) == born
        blocks.append(blocks.next(str(slot), slot))
    assert blocks.usable("0", blocks.tip) == born, "at the last valid height it still may"
    blocks.append(blocks.next("151", 151))
    assert blocks.usable("0", blocks.tip) is None


def test_a_blockhash_that_a_node_has_not_seen_is_unknown_there() -> None:
    blocks = chain(100)
    assert blocks.usable("99", blocks.at(PROCESSED)) is not None
    assert blocks.usable("99", blocks.at(CONFIRMED)) is None
    assert blocks.usable("97", blocks.at(CONFIRMED)) is not None
    assert blocks.usable("nonsense", blocks.tip) is None


def test_confirmed_comes_after_2_slots_and_finalized_after_32() -> None:
    blocks = chain(100)
    assert [blocks.at(level).slot for level in Commitment] == [99, 97, 67]
    seen = {slot: blocks.commitment(slot) for slot in range(100)}
    assert [slot for slot in seen if seen[slot] is PROCESSED] == [98, 99]
    assert [slot for slot in seen if seen[slot] is CONFIRMED] == list(range(68, 98))
    assert seen[67] is FINALIZED


def test_with_alpenglow_a_block_is_confirmed_and_finalized_at_once_after_1_slot() -> None:
    blocks = chain(100, Consensus.ALPENGLOW)
    assert [blocks.at(level).slot for level in Commitment] == [99, 98, 98]
    assert [blocks.at(level, lag=10).slot for level in Commitment] == [89, 88, 88]
    assert (blocks.commitment(99), blocks.commitment(98)) == (PROCESSED, FINALIZED)
    assert [block.slot for block in blocks.fork(1_000)] == [99], "only the block that is not finalized"


def test_a_chain_that_migrates_finalizes_sooner_and_keeps_what_was_final() -> None:
    blocks = chain(100)
    blocks.fork(20)
    root = blocks.at(FINALIZED)
    blocks.migrate()
    assert root.slot < blocks.at(FINALIZED).slot == blocks.tip.slot - 1
    assert len(blocks.fork(1_000)) == 1


def test_a_young_chain_has_its_first_block_finalized() -> None:
    assert [chain(2).at(level).slot for level in Commitment] == [1, 0, 0]


def test_a_lagging_node_sees_an_older_chain() -> None:
    blocks = chain(100)
    assert [blocks.at(level, lag=10).slot for level in Commitment] == [89, 87, 57]
    assert blocks.on_top(90, lag=10) < 0, "not seen"
    assert blocks.on_top(89, lag=10) == 0


def test_a_fork_takes_blockhashes_away_and_goes_on_at_a_higher_slot_and_a_lower_height() -> None:
    blocks = chain(100)
    gone = blocks.fork(3)
    assert [block.slot for block in gone] == [99, 98, 97]
    assert blocks.usable("98", blocks.tip) is None
    blocks.append(blocks.next("new", 0))
    assert (blocks.tip.slot, blocks.tip.height) == (100, 97)


def test_a_fork_does_not_reach_what_is_finalized_nor_the_first_block() -> None:
    blocks = chain(100)
    finalized = blocks.at(FINALIZED)
    assert len(blocks.fork(1_000)) == MAX_FORK
    blocks.fork(1_000)
    assert blocks.tip == finalized
    assert blocks.at(FINALIZED) == finalized
    assert blocks.commitment(finalized.slot) is FINALIZED
    assert len(chain(3).fork(1_000)) == 2


def test_what_is_finalized_stays_so_when_a_forked_chain_is_loaded_again() -> None:
    blocks = chain(100)
    root = blocks.at(FINALIZED)
    blocks.fork(20)
    again = Blocks(reversed(blocks.newest(KEPT_BLOCKS)), blocks.next_slot, root.slot, consensus=Consensus.TOWER)
    assert again.at(FINALIZED) == root
    assert again.at(CONFIRMED).slot == 77


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(0, 300), st.sampled_from(Consensus))
def test_after_any_forks_slots_only_rise_and_heights_have_no_gaps(
    forks: list[int], lag: int, consensus: Consensus
) -> None:
    blocks, highest = chain(40, consensus), 39
    finalized: list[Block] = []
    for number, count in enumerate(forks):
        finalized.append(blocks.at(FINALIZED))
        blocks.fork(count)
        assert blocks.at(FINALIZED) == finalized[-1], "a fork takes nothing back that was finalized, nor lowers it"
        blocks.append(blocks.next(f"fork {number}", 0))
        assert blocks.tip.slot > highest
        highest = blocks.tip.slot
    newest = blocks.newest(KEPT_BLOCKS)
    slots = [block.slot for block in newest]
    assert slots == sorted(slots, reverse=True)
    assert [block.height for block in newest] == list(range(newest[0].height, -1, -1))
    for commitment in Commitment:
        seen = blocks.at(commitment, lag)
        assert seen.height >= blocks.at(FINALIZED, lag).height
        assert list(Commitment).index(blocks.commitment(seen.slot, lag)) >= list(Commitment).index(commitment)
    assert all(block in newest for block in finalized)


def test_old_blocks_are_forgotten() -> None:
    blocks = chain(KEPT_BLOCKS + 10)
    assert len(blocks.newest(2 * KEPT_BLOCKS)) == KEPT_BLOCKS
    assert blocks.usable("5", Block(100, 100, "", 0)) is None


@pytest.mark.parametrize("next_slot", [0, 500])
def test_a_chain_that_is_loaded_again_never_repeats_a_slot(next_slot: int) -> None:
    blocks = Blocks([Block(7, 5, "a", 0), Block(9, 6, "b", 0)], next_slot, consensus=Consensus.TOWER)
    assert blocks.next("c", 0) == Block(max(10, next_slot), 7, "c", 0)
