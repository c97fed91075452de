"""Reasons why an order makes no progress, for people who look at it. They decide nothing."""

from dataclasses import dataclass
from enum import StrEnum

from dexexec.domain.event import Detail, timestamp
from dexexec.domain.order import NewOrder, Order, Side
from dexexec.domain.terms import TriggerWhen


class WaitsFor(StrEnum):
    """What an order waits for."""

    WORKER = "worker"  # accepted, and no worker has claimed it yet
    FUNDS = "funds"  # other orders in flight may spend what it needs of the wallet
    SIGNATURE = "signature"  # its transaction is handed out, and its client has not signed it yet
    SIGNER = "signer"  # its wallet's signer gives no signature
    LANDING = "landing"  # its transaction is sent, and may still land
    NODE = "node"  # no node reports the outcome of its transaction
    PROOF = "proof"  # its transaction has probably expired, and no node proves that
    FINALITY = "finality"  # the chain can still take its swap back
    NETWORK = "network"  # its transaction belongs to a chain that is not configured here
    PRICE = "price"  # it rests until its price is reached
    LAUNCH = "launch"  # it rests until a pool of its token is launched that fulfils its conditions
    REFERENCE = "reference"  # its price is reached, and the reference price does not agree
    TIME = "time"  # its next slice is not due yet
    SLICES = "slices"  # the orders of its slices have not ended yet
    HALT = "halt"  # an operator has halted signing, for its key or for everybody


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why an order makes no progress, as text for people."""

    reason: WaitsFor
    detail: str


NOT_FINAL = Waiting(WaitsFor.FINALITY, "the swap is confirmed, and not final yet: the chain can still take it back")


def wait_detail(order: NewOrder | Order) -> Detail:
    """The detail of the `waiting` event of an order that rests: what it waits for."""
    recurring = order.terms.recurring if order.terms else None
    if recurring is not None:
        first = f"at {timestamp(recurring.start_at)}" if recurring.start_at else "now"
        return {"waitsFor": WaitsFor.TIME, "detail": f"slice 1 of {recurring.slices} is due {first}"}
    if order.terms is not None and order.terms.conditions is not None:
        return {"waitsFor": WaitsFor.LAUNCH, "detail": f"it waits for the launch of a pool of {order.output_mint}"}
    return {"waitsFor": WaitsFor.PRICE, "detail": f"it waits for {_awaited_price(order)}"}


def _awaited_price(order: NewOrder | Order) -> str:
    terms = order.terms
    assert terms is not None  # noqa: S101 - only an order with terms rests
    triggered = isinstance(order, Order) and order.triggered
    if terms.trigger_price is not None and not triggered:
        side = "more" if terms.trigger_when is TriggerWhen.ABOVE else "less"
        return f"a price of {terms.trigger_price:f} or {side}"
    if terms.trail_bps is not None and not triggered:
        return f"a price {terms.trail_bps} bps worse than the best one since it was accepted"
    # A buy spends the input mint, so more of the output mint is better for it; for a sell the price is what it pays.
    side = "more" if order.side is Side.BUY else "less"
    return f"a price of {terms.limit_price:f} or {side}" if terms.limit_price is not None else "its price"
