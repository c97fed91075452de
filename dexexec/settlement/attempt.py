"""A recorded attempt as settlement receives it, and the result that settlement returns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill, SwapRequest
from dexexec.domain.swap import SignedSwap
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.venue import AnyVenue


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAttempt:
    """A recorded attempt whose outcome is not proven yet.

    `deadline` is the order's, in monotonic seconds: past it, bytes that were never sent stay unsent. `resumed` means
    that another turn may have sent the bytes before. `earlier_signatures` belong to the order's earlier attempts.
    `venue` explains failures; it is None when its adapter is no longer enabled. `signed_at` is the latest monotonic
    time at which the attempt can have been recorded.
    """

    signed: SignedSwap
    request: SwapRequest
    deadline: float
    resumed: bool
    earlier_signatures: tuple[str, ...] = ()
    venue: AnyVenue | None = None
    signed_at: float = -math.inf

    @property
    def signatures(self) -> tuple[str, ...]:
        """The signatures of all attempts of the order, this one first."""
        return (self.signed.signature, *self.earlier_signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementResult:
    """The outcome of an attempt, with its proof as JSON values.

    `fill` is set when the swap landed, otherwise `reason` and `detail` are. `earlier` lists earlier attempts of the
    order that landed too, although they were proven gone. Without a fill, all of those are finalized. `sends` has the
    sends to each endpoint as JSON values, on a chain with several.
    """

    outcome: Outcome
    proof: dict[str, object]
    fill: Fill | None = None
    reason: str = ""
    detail: str = ""
    earlier: tuple[EarlierLanding, ...] = ()
    sends: tuple[Mapping[str, object], ...] = ()
