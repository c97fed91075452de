"""What accounts held before each recent slot changed them: how they looked at a commitment, and the way back of a fork.

Pure. One entry per account and slot, as blocks are seen and taken back whole.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class AccountHistory(Generic[K, V]):
    """Keys (addresses) -> what they held before (None: there was no account), by slot."""

    def __init__(self) -> None:
        self._before: dict[K, list[tuple[int, V | None]]] = {}
        self._changed: dict[int, set[K]] = defaultdict(set)

    def record(self, slot: int, key: K, before: V | None) -> bool:
        """Note that `slot` changes `key`. False if it did already: what was before the slot is known."""
        if key in self._changed[slot]:
            return False
        self._changed[slot].add(key)
        self._before.setdefault(key, []).append((slot, before))
        return True

    def at(self, slot: int, key: K, now: V | None) -> V | None:
        """What `key` held at the end of `slot`; it holds `now` now."""
        entries = self._before.get(key, [])
        first = bisect_right(entries, slot, key=lambda entry: entry[0])
        return entries[first][1] if first < len(entries) else now

    def since(self, slot: int) -> dict[K, V | None]:
        """All that changed after `slot`, with what it held then."""
        return {key: self.at(slot, key, None) for later in self._after(slot) for key in self._changed[later]}

    def forget(self, slot: int, keys: Iterable[K]) -> None:
        """`slot`, the newest, did not change `keys` after all."""
        for key in keys:
            self._changed[slot].remove(key)
            self._drop(key, -1)

    def forget_after(self, slot: int) -> None:
        """The slots after `slot` never were."""
        for later in self._after(slot):
            for key in self._changed.pop(later):
                self._drop(key, -1)

    def forget_before(self, slot: int) -> None:
        """Nobody will look further back than the end of `slot`."""
        for earlier in sorted(known for known in self._changed if known <= slot):
            for key in self._changed.pop(earlier):
                self._drop(key, 0)

    def _after(self, slot: int) -> Iterable[int]:
        return sorted((known for known in self._changed if known > slot), reverse=True)

    def _drop(self, key: K, which: int) -> None:
        del self._before[key][which]
        if not self._before[key]:
            del self._before[key]
