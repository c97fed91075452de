"""A simulated swap: the transaction format of the mock venues, and what executing it does.

The bytes decide the result, so executing them is a pure function: every process, before or after a restart, computes
the same fill. `move_ppm` is how far the price moves against the order between quote and landing; if that breaks the
limits, the swap fails on chain with `slippage`, as in the real programs.
"""

from dataclasses import dataclass

import orjson

from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.swap import FailedOnChain, Landed

PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSwap:
    """`exact_in`: `amount_in` is fixed, else `amount_out`. `landing_ms` passes between sending and landing. With
    `dropped` the first send is lost, as can happen on a real chain, and only sending the same bytes again helps."""

    venue: str
    mint_in: str
    mint_out: str
    amount_in: int
    amount_out: int
    min_out: int
    max_in: int
    exact_in: bool
    payer: str
    blockhash: str
    nonce: str
    fee: int
    landing_ms: int = 0
    move_ppm: int = 0
    dropped: bool = False

    def encode(self) -> bytes:
        """Returns the bytes to sign."""
        return orjson.dumps(self, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, payload: bytes) -> "SimulatedSwap":
        """Inverse of `encode`. Raises `ValueError` for other bytes."""
        try:
            return cls(**orjson.loads(payload))
        except (TypeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"not a simulated swap: {error}") from error

    def execute(self, slot: int) -> Landed | FailedOnChain:
        """The final result of landing in `slot`: there are no forks here. Rounding is against the order."""
        amount_in = self.amount_in
        amount_out = self.amount_out
        if self.exact_in:
            amount_out = amount_out * (PPM - self.move_ppm) // PPM
        else:
            amount_in = -(-amount_in * (PPM + self.move_ppm) // PPM)
        cost = NetworkCost(base_fee=self.fee)
        if amount_out < self.min_out or amount_in > self.max_in:
            detail = "the price moved past the order's bound"
            return FailedOnChain(
                code=FailureReason.SLIPPAGE, detail=detail, fee=self.fee, slot=slot, finalized=True, cost=cost
            )
        moved = {self.mint_in: -amount_in, self.mint_out: amount_out}
        return Landed(moved, self.fee, slot, finalized=True, cost=cost)
