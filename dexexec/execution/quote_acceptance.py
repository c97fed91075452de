"""Which quotes of a round an order may take. Pure, between router and pipeline.

An order has one bound over all venues and rounds. The first quote that it could take fixes it, unless the client has.
No quote is taken that moves a venue's price further than the order allows.
"""

from dataclasses import dataclass, replace

from dexexec.domain.bound import Bound, FixedBound, bound_by_slippage
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import Order
from dexexec.domain.quote import BPS
from dexexec.domain.token import from_base_units
from dexexec.venues.router import Routing


@dataclass(frozen=True, slots=True)
class Accepted:
    """A round's answers held to what the order accepts; the order as it is then; and the bound to be recorded, if this
    round fixed it. `bound` is None only while no quote was acceptable and the client gave none."""

    routing: Routing
    order: Order
    bound: Bound | None
    fixed: FixedBound | None = None


PPM_PER_BPS = 100
PPM_DIGITS = 4
"""Of a percentage."""


def accept(order: Order, routing: Routing, max_price_impact_bps: int) -> Accepted:
    """Hold the quotes of `routing` to the order's limits, and fix its bound by the best one where it is open.
    `max_price_impact_bps` is for an order that names none."""
    routing = within_impact(routing, impact_limit_ppm(order, max_price_impact_bps))
    if order.bound is not None:
        routing = held_to(routing, order.bound)
    if not routing.ranking or (order.bound is not None and not order.bound_open and order.first_quote):
        return Accepted(routing, order, order.bound)
    best = routing.ranking[0]
    bound = order.bound
    if bound is None or order.bound_open:
        bound = bound_by_slippage(best).intersect(bound) if bound else bound_by_slippage(best)
    fixed = FixedBound(bound, best.amount_in, best.amount_out)
    order = replace(order, bound=bound, bound_open=False, first_quote=(best.amount_in, best.amount_out))
    return Accepted(held_to(routing, bound), order, bound, fixed)


def impact_limit_ppm(order: Order, max_price_impact_bps: int) -> int:
    """How far the order may move a price (parts per million); `max_price_impact_bps` is for one that names nothing."""
    own = order.max_price_impact_bps
    return (max_price_impact_bps if own is None else own) * PPM_PER_BPS


def within_impact(routing: Routing, limit_ppm: int) -> Routing:
    """The same answers: quotes that move their venue's price by more than `limit_ppm` have lost by it. All of it is no
    limit."""
    answers = []
    for answer in routing.answers:
        quote = answer.quote if not answer.code and limit_ppm < BPS * PPM_PER_BPS else None
        if quote is not None and quote.price_impact_ppm > limit_ppm:
            moved, allowed = _percent(quote.price_impact_ppm), _percent(limit_ppm)
            words = f"the swap would move the price by {moved}, and {allowed} is allowed"
            answers.append(answer.rejected(FailureReason.PRICE_IMPACT, words, retryable=False))
        else:
            answers.append(answer)
    return Routing.of(answers)


def _percent(ppm: int) -> str:
    return f"{from_base_units(ppm, PPM_DIGITS)} %"


def held_to(routing: Routing, bound: Bound) -> Routing:
    """The same answers: quotes past `bound` have lost by it, and the bounds of the others are no looser."""
    answers = []
    for answer in routing.answers:
        if answer.quote is None or answer.code:
            answers.append(answer)
        elif excess := bound.excess(answer.quote):
            answers.append(answer.rejected(FailureReason.SLIPPAGE, excess))
        else:
            answers.append(replace(answer, quote=bound.tighten(answer.quote)))
    return Routing.of(answers)
