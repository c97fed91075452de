"""Remembers what accounts held before recent slots: for reads at an older commitment, and to undo a fork. Pure.

There is one entry per account and slot, because blocks are read and undone as a whole.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class AccountHistory(Generic[K, V]):
    """By key (an address) and slot: the value before the slot. None: there was no account."""

    def __init__(self) -> None:
        self._before: dict[K, list[tuple[int, V | None]]] = {}
        self._changed: dict[int, set[K]] = defaultdict(set)

    def record(self, slot: int, key: K, before: V | None) -> bool:
        """Records that `slot` changes `key`. False: an earlier change of this slot has recorded the value before it."""
        if key in self._changed[slot]:
            return False
        self._changed[slot].add(key)
        self._before.setdefault(key, []).append((slot, before))
        return True

    def at(self, slot: int, key: K, now: V | None) -> V | None:
        """The value of `key` at the end of `slot`. Its present value is `now`."""
        entries = self._before.get(key, [])
        # The first change after `slot` recorded the value that `slot` left.
        first_after = bisect_right(entries, slot, key=lambda entry: entry[0])
        return entries[first_after][1] if first_after < len(entries) else now

    def since(self, slot: int) -> dict[K, V | None]:
        """All keys that changed after `slot`, with their values at its end."""
        return {key: self.at(slot, key, None) for later in self._after(slot) for key in self._changed[later]}

    def changed(self, first: int, last: int) -> set[K]:
        """The keys that changed in the slots from `first` to `last`, as far back as is remembered."""
        # Called for every new block, with one slot or two: looking at those is cheaper than at all that are kept.
        slots = range(first, last + 1) if last - first < len(self._changed) else self._changed.keys()
        return {key for slot in slots if first <= slot <= last for key in self._changed.get(slot, ())}

    def forget(self, slot: int, keys: Iterable[K]) -> None:
        """Takes back records of the newest slot, whose change was not stored."""
        for key in keys:
            self._changed[slot].remove(key)
            self._drop(key, -1)

    def forget_after(self, slot: int) -> None:
        """Removes the slots after `slot`, which a fork has undone."""
        for later in self._after(slot):
            for key in self._changed.pop(later):
                self._drop(key, -1)

    def forget_before(self, slot: int) -> None:
        """Removes what is needed only for reads before the end of `slot`."""
        for earlier in sorted(known for known in self._changed if known <= slot):
            for key in self._changed.pop(earlier):
                self._drop(key, 0)

    def _after(self, slot: int) -> Iterable[int]:
        # Newest first: `forget_after` removes each key's entries from the end of its list.
        return sorted((known for known in self._changed if known > slot), reverse=True)

    def _drop(self, key: K, index: int) -> None:
        del self._before[key][index]
        if not self._before[key]:
            del self._before[key]
