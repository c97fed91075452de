"""Looks up one attempt, and the earlier attempts of its order, before settlement decides what they prove."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dexexec.clock import Clock
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SwapStatus, Unavailable, past_expiry, too_high
from dexexec.settlement.attempt import PendingAttempt
from dexexec.settlement.earlier_attempts import EarlierLanding, landings
from dexexec.settlement.status_lookup import StatusLookup


@dataclass(frozen=True, slots=True)
class AttemptView:
    """What the chain shows of an attempt: its status, and the earlier attempts of its order that landed.

    `searched` means that the whole history was searched, because recent statuses show the attempt as expired.
    """

    status: SwapStatus
    earlier: tuple[EarlierLanding, ...]
    searched: bool = False


class AttemptLookup:
    """Returns views of one attempt. A status that might be wrong is replaced by `Unavailable`, which proves nothing."""

    def __init__(self, attempt: PendingAttempt, lookup: StatusLookup, clock: Clock) -> None:
        self._attempt = attempt
        self._lookup = lookup
        self._clock = clock

    async def view(self) -> AttemptView:
        """Looks at recent statuses first, and searches the history only where the answer could end the attempt."""
        status, *earlier = await self._statuses(history=False)
        if isinstance(status, Landed) or (isinstance(status, FailedOnChain) and status.finalized):
            return await self._view_of_ended(status, earlier)
        if isinstance(status, NotSeen) and past_expiry(status, self._attempt.signed.last_valid_height):
            return await self._search_history()
        return AttemptView(status, self._landed(earlier))

    async def _view_of_ended(self, status: Landed | FailedOnChain, earlier: Sequence[SwapStatus]) -> AttemptView:
        """Returns the view of an attempt that landed or failed, with all earlier attempts that landed."""
        if earlier:
            # Recent statuses go back only a few minutes. An earlier attempt may have landed before that.
            _, *earlier = await self._statuses(history=True)
        landed = self._landed(earlier)
        # A failure ends the order's turn with what earlier attempts brought. That must not be undone afterwards.
        if isinstance(status, FailedOnChain) and not all(landing.finalized for landing in landed):
            return AttemptView(Unavailable("an earlier attempt of the order landed, and is not final yet"), landed)
        # Nor may a landing end it before the record can have the outcome of every attempt that landed.
        if isinstance(status, Landed) and not all(landing.finalized for landing in landed):
            return AttemptView(replace(status, finalized=False), landed)
        return AttemptView(status, landed)

    async def _search_history(self) -> AttemptView:
        """Searches the history for all signatures of the order: a swap that was wrongly taken for gone must not be
        followed by another one."""
        status, *earlier = await self._statuses(history=True)
        landed = self._landed(earlier)
        if isinstance(status, NotSeen) and self._too_high(status):
            # A node that reports a false height could otherwise "prove" that a transaction expired which still lands.
            why = f"{status.node} reports height {status.height}, further than any chain has come since it was signed"
            return AttemptView(Unavailable(why), landed, searched=True)
        if self._may_still_land(earlier, landed):
            why = "an earlier attempt of the order is not proven to be gone"
            return AttemptView(Unavailable(why), landed, searched=True)
        return AttemptView(status, landed, searched=True)

    def _too_high(self, status: NotSeen) -> bool:
        seconds = self._clock.monotonic() - self._attempt.signed_at
        return too_high(status, self._attempt.signed.last_valid_height, seconds)

    def _may_still_land(self, earlier: Sequence[SwapStatus], landed: Sequence[EarlierLanding]) -> bool:
        """Whether the outcome of an earlier attempt is open: unknown, or on the chain and not finalized."""
        final = {landing.signature for landing in landed if landing.finalized}
        return any(
            not isinstance(status, NotSeen | FailedOnChain) and signature not in final
            for signature, status in zip(self._attempt.earlier_signatures, earlier, strict=True)
        )

    def _landed(self, earlier: Sequence[SwapStatus]) -> tuple[EarlierLanding, ...]:
        return landings(self._attempt.earlier_signatures, earlier, self._attempt.request)

    async def _statuses(self, *, history: bool) -> list[SwapStatus]:
        return await self._lookup.statuses(self._attempt.signed.network, self._attempt.signatures, history=history)
