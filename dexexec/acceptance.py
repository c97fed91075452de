"""Which quotes of a round an order may take. Pure, between router and pipeline.

An order has one bound over all venues and rounds. The first quote that it could take fixes it, unless the client has.
No quote is taken that moves a venue's price further than the order allows.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from dexexec.domain.bound import Bound, FixedBound, bound_by_slippage
from dexexec.domain.order import Order
from dexexec.domain.quote import BPS
from dexexec.router import PRICE_IMPACT, Routing
from dexexec.venue import Slippage


@dataclass(frozen=True, slots=True)
class Accepted:
    """A round's answers held to what the order accepts; the order as it is then; and the bound to be recorded, if this
    round fixed it. `bound` is None only while no quote was acceptable and the client gave none."""

    routing: Routing
    order: Order
    bound: Bound | None
    fixed: FixedBound | None = None


PPM_PER_BPS = 100


def accept(order: Order, routing: Routing, max_price_impact_bps: int) -> Accepted:
    """Hold the quotes of `routing` to the order's limits, and fix its bound by the best one where it is open.
    `max_price_impact_bps` is for an order that names none."""
    limit = order.max_price_impact_bps if order.max_price_impact_bps is not None else max_price_impact_bps
    routing = within_impact(routing, limit)
    if order.bound is not None:
        routing = held_to(routing, order.bound)
    if not routing.ranking or (order.bound is not None and not order.bound_open and order.first_quote):
        return Accepted(routing, order, order.bound)
    best = routing.ranking[0]
    bound = order.bound
    if bound is None or order.bound_open:
        bound = bound_by_slippage(best).and_also(bound) if bound else bound_by_slippage(best)
    fixed = FixedBound(bound, best.amount_in, best.amount_out)
    order = replace(order, bound=bound, bound_open=False, first_quote=(best.amount_in, best.amount_out))
    return Accepted(held_to(routing, bound), order, bound, fixed)


def within_impact(routing: Routing, limit_bps: int) -> Routing:
    """The same answers: quotes that move their venue's price by more than `limit_bps` have lost by it. 10,000 is no
    limit."""
    answers = []
    for answer in routing.answers:
        quote = answer.quote if not answer.code and limit_bps < BPS else None
        if quote is not None and quote.price_impact_ppm > limit_bps * PPM_PER_BPS:
            moved = f"{Decimal(quote.price_impact_ppm) / 10_000:f}".rstrip("0").rstrip(".")
            words = f"the swap would move the price by {moved} %, and {Decimal(limit_bps) / 100:f} % is allowed"
            answers.append(answer.lost(PRICE_IMPACT, words, retryable=False))
        else:
            answers.append(answer)
    return Routing.of(answers)


def held_to(routing: Routing, bound: Bound) -> Routing:
    """The same answers: quotes past `bound` have lost by it, and the bounds of the others are no looser."""
    answers = []
    for answer in routing.answers:
        if answer.quote is None or answer.code:
            answers.append(answer)
        elif excess := bound.excess(answer.quote):
            answers.append(answer.lost(Slippage.code, excess))
        else:
            answers.append(replace(answer, quote=bound.tighten(answer.quote)))
    return Routing.of(answers)
