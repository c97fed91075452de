"""Decides what one lookup means for a swap that is confirmed and not final yet. Pure: `FinalityLookup` does the
lookups.

A landing ends its order when it is finalized. It is taken back only by proof: by a node that is past its slot and has
searched its history, or by a finalized failure of the same transaction.
"""

from dataclasses import dataclass

from dexexec.domain.quote import Fill, SwapRequest
from dexexec.domain.swap import (
    FailedOnChain,
    Landed,
    NotSeen,
    SignedSwap,
    SwapStatus,
    Unavailable,
    fill_of,
    proves_expiry,
    too_high,
)
from dexexec.domain.wait_reason import Waiting
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.waiting import waiting_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedSwap:
    """A swap that was seen as confirmed in `landed_slot` (None in old records).

    `earlier_signatures` belong to the order's earlier attempts. `signed_ago` is the most seconds that can have passed
    since the swap was recorded.
    """

    signed: SignedSwap
    request: SwapRequest
    earlier_signatures: tuple[str, ...]
    landed_slot: int | None
    signed_ago: float


@dataclass(frozen=True, slots=True)
class Final:
    """The swap is on the chain for good: its fill, the proof as JSON values, and earlier attempts that landed too."""

    fill: Fill
    proof: dict[str, object]
    earlier: tuple[EarlierLanding, ...] = ()


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The swap is no longer on the chain: the reason in words, and the proof as JSON values."""

    detail: str
    proof: dict[str, object]


Verdict = Final | TakenBack | Waiting | None
"""None: the swap is confirmed as before. `Waiting`: no answer can be trusted, and this is what is missing."""


def verdict_of(
    swap: ConfirmedSwap, status: SwapStatus, *, searched: bool, earlier: tuple[EarlierLanding, ...] = ()
) -> Verdict:
    """Returns what `status` means for a confirmed swap. `searched` means that the whole history was searched, because
    the recent statuses of one node did not have the swap."""
    match status:
        case Landed(slot=slot, finalized=finalized):
            # An earlier attempt that landed as well must be final too: the record gets the outcome of both at once.
            if not finalized or not all(landing.finalized for landing in earlier):
                return None
            return Final(fill_of(status, swap.request), {"slot": slot, "finalized": True, "sends": 0}, earlier)
        # The same transaction may land again on another fork, and fail there.
        case FailedOnChain(detail=detail, slot=slot, finalized=True):
            return TakenBack(f"the transaction failed in slot {slot}: {detail}", {"slot": slot, "finalized": True})
        case NotSeen(node=node) if too_high(status, swap.signed.last_valid_height, swap.signed_ago):
            why = f"{node} reports height {status.height}, further than any chain has come since it was signed"
            return waiting_of(swap.signed, Unavailable(why), None, searched=searched)
        case NotSeen(history=True, node=node, slot=slot) if _proves_absence(swap, status):
            where = "its slot" if swap.landed_slot is None else f"slot {swap.landed_slot}"
            words = f"{where}, where it was confirmed, is no longer part of the chain"
            return TakenBack(words, {"node": node, "slotSeen": slot})
        case _:
            return waiting_of(swap.signed, status, None, searched=searched)


def _proves_absence(swap: ConfirmedSwap, status: NotSeen) -> bool:
    """Whether the node would have the swap if the chain still did: it has processed the slot of the landing."""
    # Old records lack the slot. For them only a proof of expiry is strong enough.
    if swap.landed_slot is None:
        return proves_expiry(status, swap.signed.last_valid_height)
    return status.slot > swap.landed_slot
