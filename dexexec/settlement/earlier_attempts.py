"""Earlier attempts of an order that are on chain although they were proven gone, as by a node that told a false height.

They are looked for whenever an order's way would go on without them. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain.quote import Fill, SwapRequest
from dexexec.domain.swap import Landed, SwapStatus, fill_of


@dataclass(frozen=True, slots=True)
class EarlierLanding:
    """An earlier attempt that the chain shows, and what it brought. `finalized`: nothing can undo it any more."""

    signature: str
    fill: Fill
    finalized: bool


def landings(
    signatures: Sequence[str], statuses: Sequence[SwapStatus], request: SwapRequest
) -> tuple[EarlierLanding, ...]:
    """Those of `signatures` that landed, by their `statuses`; what is final comes first."""
    found = [
        EarlierLanding(signature, fill_of(status, request), status.finalized)
        for signature, status in zip(signatures, statuses, strict=True)
        if isinstance(status, Landed)
    ]
    return tuple(sorted(found, key=lambda one: not one.finalized))
