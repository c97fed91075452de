"""Which slots of a node's notifications are complete. Pure.

A node sends all notifications of a slot before any of the next one. The Clock sysvar changes in every block, so its
notification for a later slot shows that everything up to the slot of the one before has been delivered.
"""

import math

from dexexec.domain.swap import SLOTS_PER_SECOND

BURST_SLOTS = 8
"""Slots, in addition to what time allows, by which notifications may move on at once: their delivery is not even."""


class StreamGapError(Exception):
    """Notifications may be missing or false: everything has to be read again. The message is the reason."""


class SlotStream:
    """The slots of one stream of notifications. `newest` is that of the last Clock, `complete` the one before; 0: none
    yet. `moved_at` is when the last Clock came, in monotonic seconds."""

    def __init__(self) -> None:
        self.newest = 0
        self.complete = 0
        self.moved_at = -math.inf

    def restart(self) -> None:
        """Begins anew: the next Clock is the first one."""
        self.newest = 0
        self.complete = 0
        self.moved_at = -math.inf

    def advance(self, slot: int, now: float) -> None:
        """A Clock of `slot` came at `now`. Raises `StreamGapError`."""
        if self.newest:
            # Equal slots too: each block has one Clock, so this is a repetition or another fork.
            if slot <= self.newest:
                raise StreamGapError(f"went back from slot {self.newest} to {slot}")
            self._check_jump(slot, now)
        self.complete = self.newest
        self.newest = slot
        self.moved_at = now

    def check(self, slot: int, now: float) -> None:
        """Checks the slot of an account's notification. Raises `StreamGapError`."""
        if self.complete and slot <= self.complete:
            raise StreamGapError(f"reported slot {slot} after it had shown slot {self.complete} to be complete")
        if self.newest:
            self._check_jump(slot, now)

    def _check_jump(self, slot: int, now: float) -> None:
        allowed = BURST_SLOTS + max(0.0, now - self.moved_at) * SLOTS_PER_SECOND
        if slot - self.newest > allowed:
            raise StreamGapError(f"jumped from slot {self.newest} to {slot}")
