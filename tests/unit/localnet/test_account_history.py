"""What accounts held before: checked against copies of everything at every slot."""

from hypothesis import given
from hypothesis import strategies as st

from dexexec.localnet.account_history import AccountHistory

KEYS = ("a", "b", "c")
CHANGES = st.lists(st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.integers(0, 9)), max_size=4), max_size=12)


def run(changes: list[list[tuple[str, int | None]]]) -> tuple[AccountHistory[str, int], list[dict[str, int | None]]]:
    """Slot n makes changes[n]; the history, and a copy of all at the end of each slot (the last one is now)."""
    history: AccountHistory[str, int] = AccountHistory()
    now: dict[str, int | None] = dict.fromkeys(KEYS)
    copies = []
    for slot, made in enumerate(changes):
        for key, value in made:
            history.record(slot, key, now[key])
            now[key] = value
        copies.append(dict(now))
    return history, copies


@given(CHANGES)
def test_every_slot_can_be_seen_as_it_was(changes: list[list[tuple[str, int | None]]]) -> None:
    history, copies = run(changes)
    for slot, copy in enumerate(copies):
        assert {key: history.at(slot, key, copies[-1][key]) for key in KEYS} == copy


@given(CHANGES, st.integers(0, 12))
def test_a_fork_puts_back_what_was_before_it(changes: list[list[tuple[str, int | None]]], slot: int) -> None:
    history, copies = run(changes)
    slot = min(slot, len(copies) - 1)
    if copies:
        back = copies[-1] | history.since(slot)
        assert back == copies[slot]
        history.forget_after(slot)
        assert history.since(slot) == {}
        assert {key: history.at(0, key, back[key]) for key in KEYS} == copies[0]


@given(CHANGES, st.integers(0, 12))
def test_forgetting_old_slots_leaves_the_younger_ones(changes: list[list[tuple[str, int | None]]], oldest: int) -> None:
    history, copies = run(changes)
    history.forget_before(oldest)
    for slot in range(oldest, len(copies)):
        assert {key: history.at(slot, key, copies[-1][key]) for key in KEYS} == copies[slot]


def test_only_the_first_change_of_a_slot_counts() -> None:
    history: AccountHistory[str, int] = AccountHistory()
    assert history.record(1, "a", 5)
    assert not history.record(1, "a", 6)
    assert history.at(0, "a", 7) == 5


def test_a_change_that_was_not_kept_can_be_forgotten() -> None:
    history: AccountHistory[str, int] = AccountHistory()
    history.record(1, "a", 5)
    history.record(2, "a", 6)
    history.forget(2, ["a"])
    assert history.since(0) == {"a": 5}
    assert history.since(1) == {}


@given(CHANGES, st.integers(0, 12), st.integers(0, 12))
def test_changes_of_slots_are_those_keys_that_were_recorded(
    changes: list[list[tuple[str, int | None]]], first: int, last: int
) -> None:
    history, _ = run(changes)
    recorded = {key for made in changes[first : last + 1] for key, _ in made}
    assert history.changed(first, last) == recorded
    history.forget_before(first)
    assert history.changed(0, last) == {key for made in changes[first + 1 : last + 1] for key, _ in made}
