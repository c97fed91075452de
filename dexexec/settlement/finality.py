"""What one look at the chain says of a swap that is confirmed and not final yet. Pure: `Settlement.look_again` looks.

Only what settlement would believe counts: a landing ends an order when it is finalized, and is taken back by a node
that is past its slot and has searched its history, or by a failure of the same transaction that is finalized.
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
from dexexec.settlement.stalled import waiting_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedSwap:
    """A swap that was seen as confirmed in `landed_slot` (None in records that do not tell). `others` are the
    signatures of the order's earlier attempts, `signed_ago` is how long ago it was recorded, at most (seconds)."""

    signed: SignedSwap
    request: SwapRequest
    others: tuple[str, ...]
    landed_slot: int | None
    signed_ago: float


@dataclass(frozen=True, slots=True)
class Final:
    """The swap is on chain for good, with what it brought and the proof, as JSON values. `earlier` attempts of the
    order landed as well."""

    fill: Fill
    proof: dict[str, object]
    earlier: tuple[EarlierLanding, ...] = ()


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The chain does not have the landing any more: why, in words, and the proof, as JSON values."""

    detail: str
    proof: dict[str, object]


Verdict = Final | TakenBack | Waiting | None
"""None: it is confirmed as before. `Waiting`: no answer that can be believed, and what is missing."""


def verdict_of(
    swap: ConfirmedSwap, status: SwapStatus, *, searched: bool, earlier: tuple[EarlierLanding, ...] = ()
) -> Verdict:
    """What `status` means for a confirmed swap. `searched`: the whole history was, as the recent statuses of one node
    did not have it. `earlier` attempts landed as well."""
    match status:
        case Landed(slot=slot, finalized=finalized):
            proof: dict[str, object] = {"slot": slot, "finalized": True, "sends": 0}
            return Final(fill_of(status, swap.request), proof, earlier) if finalized else None
        case FailedOnChain(detail=detail, slot=slot, finalized=True):
            return TakenBack(f"the transaction failed in slot {slot}: {detail}", {"slot": slot, "finalized": True})
        case NotSeen(node=node) if too_high(status, swap.signed.last_valid_height, swap.signed_ago):
            why = f"{node} tells height {status.height}, further than any chain has come since it was signed"
            return waiting_of(swap.signed, Unavailable(why), None, searched=searched)
        case NotSeen(history=True, node=node, slot=slot) if _is_past(swap, status):
            where = "its slot" if swap.landed_slot is None else f"slot {swap.landed_slot}"
            words = f"{where}, where it was confirmed, is no part of the chain any more"
            return TakenBack(words, {"node": node, "slotSeen": slot})
        case _:
            return waiting_of(swap.signed, status, None, searched=searched)


def _is_past(swap: ConfirmedSwap, status: NotSeen) -> bool:
    """Whether whoever does not know the swap would have to, if the chain still had it."""
    if swap.landed_slot is None:
        return proves_expiry(status, swap.signed.last_valid_height)
    return status.slot > swap.landed_slot
