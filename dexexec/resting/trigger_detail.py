"""The details of the events that the oracle writes: what it saw, in words and in figures."""

from fractions import Fraction

from dexexec.domain.event import Detail
from dexexec.domain.wait_reason import WaitsFor
from dexexec.resting.conditions import ANY_RATE, KEY_BITS, Executable, WatchedOrder, key_of, rate_of
from dexexec.resting.reference_check import Agreement


def trigger_detail(order: WatchedOrder, deal: Executable) -> Detail:
    """The detail of the `waiting` event of a triggered order."""
    price = _net_price(order, deal)
    figures: dict[str, object] = {
        "price": price,
        "venue": deal.quote.venue,
        "amountIn": str(deal.quote.amount_in),
        "amountOut": str(deal.quote.amount_out),
    }
    if order.key == key_of(ANY_RATE):
        return {"triggered": figures, "detail": f"its stop was reached before; the price is {price} now"}
    reached = order.direction.price(Fraction(order.key, 1 << KEY_BITS))
    figures["reached"] = reached
    if order.best is not None:
        best = order.direction.price(rate_of(order.market.mode, order.amount, order.best))
        figures["bestPrice"] = best
        what = f"the trailing stop at {reached} ({order.trail_bps} bps from the best price, {best})"
    else:
        what = f"the trigger price of {reached}" if order.stop else f"the limit of {reached}"
    return {"triggered": figures, "detail": f"the price is {price} for its size, net of fees: {what} is reached"}


def disagreement_detail(order: WatchedOrder, deal: Executable, agreement: Agreement) -> Detail:
    """The detail of the `waiting` event of an order that the reference price holds back."""
    price = _net_price(order, deal)
    figures: dict[str, object] = {"price": price, "venue": deal.quote.venue, "maxDeviationBps": agreement.allowed_bps}
    if agreement.reference_rate is not None:
        figures["referencePrice"] = order.direction.price(agreement.reference_rate)
    if agreement.deviation_bps is not None:
        figures["deviationBps"] = agreement.deviation_bps
    return {
        "waitsFor": WaitsFor.REFERENCE,
        "reference": figures,
        "detail": f"the price is {price} and would trigger it, but the reference price does not agree:"
        f" {agreement.problem}",
    }


def _net_price(order: WatchedOrder, deal: Executable) -> str:
    return order.direction.price(rate_of(order.market.mode, order.amount, deal.net))
