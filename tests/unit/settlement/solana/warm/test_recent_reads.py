"""An answer for a cold order is used again for a moment, with what was read along."""

from dexexec.domain.solana import Account, Accounts
from dexexec.settlement.solana.warm.recent_reads import (
    EXPECTED_SECONDS,
    MOST_EXPECTED,
    MOST_READS,
    RECENT_SLOTS,
    RecentReads,
)

SLOT_SECONDS = 0.2
ONE, OTHER = (Account("owner", lamports, b"") for lamports in (1, 2))


def test_an_answer_serves_every_part_of_it_for_some_slots() -> None:
    reads = RecentReads()
    reads.add(["a", "b", "c"], Accounts(7, (ONE, None, OTHER)), now=10.0)
    assert reads.find(["c", "b"], 10.3, SLOT_SECONDS) == Accounts(7, (OTHER, None))
    assert reads.find(["a", "d"], 10.3, SLOT_SECONDS) is None
    assert reads.find(["a"], 10.0 + RECENT_SLOTS * SLOT_SECONDS + 0.01, SLOT_SECONDS) is None
    assert reads.find(["a"], 10.3, 0.1) is None, "slots of this chain are shorter"


def test_a_set_is_never_made_of_two_answers() -> None:
    reads = RecentReads()
    reads.add(["a"], Accounts(7, (ONE,)), now=10.0)
    reads.add(["b"], Accounts(8, (OTHER,)), now=10.1)
    assert reads.find(["a", "b"], 10.1, SLOT_SECONDS) is None
    reads.add(["a"], Accounts(9, (OTHER,)), now=10.2)
    assert reads.find(["a"], 10.2, SLOT_SECONDS) == Accounts(9, (OTHER,)), "the newest counts"


def test_only_so_many_answers_are_kept() -> None:
    reads = RecentReads()
    for number in range(MOST_READS + 1):
        reads.add([str(number)], Accounts(number, (ONE,)), now=10.0)
    assert reads.find(["0"], 10.0, SLOT_SECONDS) is None
    assert reads.find(["1"], 10.0, SLOT_SECONDS) is not None


def test_accounts_are_expected_for_a_while_and_the_newest_orders_first() -> None:
    reads = RecentReads()
    reads.expect(["a", "b"], 10.0)
    reads.expect(["a"], 11.0)
    assert reads.along(11.0) == ["b", "a"]
    assert reads.along(10.0 + EXPECTED_SECONDS + 0.1) == ["a"]
    assert reads.along(11.0 + EXPECTED_SECONDS + 0.1) == []
    reads.expect([str(number) for number in range(MOST_EXPECTED + 5)], 20.0)
    assert reads.along(20.0) == [str(number) for number in range(5, MOST_EXPECTED + 5)]
