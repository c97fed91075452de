"""What one order cost so far, from the proofs of its attempts."""

from collections.abc import Mapping, Sequence
from typing import Any

from dexexec.domain.cost import AttemptCost, CostSum
from dexexec.domain.outcome import Outcome

Json = Mapping[str, Any]


def order_cost(
    attempts: Sequence[Json], messages: Sequence[Json], children: CostSum | None, *, ended: bool
) -> dict[str, object]:
    """The sum of an order's attempts as JSON values. `attempts` are rows, `messages` the order's events as clients see
    them, `children` the sum of a recurring order's slices. `final`: the order has `ended`, so that nothing is added any
    more."""
    fees = _fees(messages)
    total = children or CostSum()
    for attempt in attempts:
        cost = _cost_of(attempt, fees)
        if cost is not None:
            total.add(cost)
    return {"final": ended, **total.detail()}


def _cost_of(attempt: Json, fees: Mapping[str, str]) -> AttemptCost | None:
    """The cost of an attempt that is on the chain; None of others, which cost nothing."""
    proof = attempt["proof"] or {}
    # A swap that is confirmed and not final has no outcome yet, and the proof of its landing.
    landed = attempt["outcome"] == Outcome.LANDED or (attempt["outcome"] is None and "cost" in proof)
    if not landed and attempt["outcome"] != Outcome.FAILED:
        return None
    if "cost" in proof:
        return AttemptCost.of(proof["cost"], landed=landed)
    # Proofs of older versions have no cost: of a swap, an event of the order has the fee.
    detail = {"fee": fees.get(attempt["signature"], "0") if landed else proof.get("fee", "0")}
    if landed and "fee" in attempt["quote"]:
        detail |= {"venueFee": attempt["quote"]["fee"], "venueFeeMint": attempt["quote"]["feeMint"]}
    return AttemptCost.of(detail, landed=landed)


def _fees(messages: Sequence[Json]) -> dict[str, str]:
    """The network fees of swaps (lamports), by signature."""
    fills = [fill for message in messages for fill in (message, *message.get("alsoLanded", ()))]
    return {fill["txHash"]: fill["networkFee"] for fill in fills if "networkFee" in fill and "txHash" in fill}
