"""Earlier attempts of an order that landed although they were proven gone, as by a node that reported a false height.

They are looked up whenever an order is about to end or to be tried again. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain.quote import Fill, SwapRequest
from dexexec.domain.swap import Landed, SwapStatus, fill_of


@dataclass(frozen=True, slots=True)
class EarlierLanding:
    """An earlier attempt that landed, and its fill. `finalized`: the chain can no longer take it back."""

    signature: str
    fill: Fill
    finalized: bool


def landings(
    signatures: Sequence[str], statuses: Sequence[SwapStatus], request: SwapRequest
) -> tuple[EarlierLanding, ...]:
    """Returns those of `signatures` that landed, by their `statuses`; finalized ones come first."""
    landed = [
        EarlierLanding(signature, fill_of(status, request), status.finalized)
        for signature, status in zip(signatures, statuses, strict=True)
        if isinstance(status, Landed)
    ]
    # The first one becomes the order's fill, so it should be one that stays.
    return tuple(sorted(landed, key=lambda landing: not landing.finalized))
