"""Decides which quotes of a round an order accepts. Pure functions and values.

An order has one bound for all venues and rounds: the client's, or else the first acceptable quote's, less the slippage.
Quotes that would move a venue's price further than the order allows are rejected.
"""

from dataclasses import dataclass, replace

from dexexec.domain.bound import Bound, FixedBound, bound_by_slippage
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import NewOrder, Order
from dexexec.domain.quote import BPS, Mode
from dexexec.domain.token import from_base_units
from dexexec.venues.router import Routing

PPM_PER_BPS = 100
PERCENT_DECIMALS = 4
"""Decimals of a percentage in parts per million."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answers of a round with the unacceptable quotes rejected, the order as it is then, and the bound to be
    recorded, if this round fixed it. `bound` is None only if no quote was acceptable and the client set none."""

    routing: Routing
    order: Order
    bound: Bound | None
    fixed: FixedBound | None = None


def accept(order: Order, routing: Routing, max_price_impact_bps: int) -> Accepted:
    """Apply the order's limits to the quotes of `routing`, and fix its bound by the best one if it is open.
    `max_price_impact_bps` is for orders that set none."""
    routing = within_impact(routing, impact_limit_ppm(order, max_price_impact_bps))
    if order.terms is not None and order.terms.slice is not None and order.terms.slice.best_other is not None:
        routing = within_range(routing, order.mode, order.terms.slice.best_other)
    if order.bound is not None:
        routing = within_bound(routing, order.bound)
    is_fixed = order.bound is not None and not order.bound_open and order.first_quote
    if not routing.ranking or is_fixed:
        return Accepted(routing, order, order.bound)
    best = routing.ranking[0]
    bound = order.bound
    # A client's bound may be open: given beside a slippage, the stricter of the two applies.
    if bound is None or order.bound_open:
        bound = bound_by_slippage(best).intersect(bound) if bound else bound_by_slippage(best)
    fixed = FixedBound(bound, best.amount_in, best.amount_out)
    order = replace(order, bound=bound, bound_open=False, first_quote=(best.amount_in, best.amount_out))
    # Again, with the bound that is fixed now: later quotes of this round may be beyond it.
    return Accepted(within_bound(routing, bound), order, bound, fixed)


def impact_limit_ppm(order: NewOrder | Order, max_price_impact_bps: int) -> int:
    """How far the order may move a price, in parts per million."""
    own = order.max_price_impact_bps
    return (max_price_impact_bps if own is None else own) * PPM_PER_BPS


def within_impact(routing: Routing, limit_ppm: int) -> Routing:
    """The answers, with the quotes rejected that move their venue's price by more than `limit_ppm`."""
    # 100 % means that there is no limit.
    if limit_ppm >= BPS * PPM_PER_BPS:
        return Routing.of(routing.answers)
    answers = []
    for answer in routing.answers:
        if answer.quote is None or answer.code or answer.quote.price_impact_ppm <= limit_ppm:
            answers.append(answer)
            continue
        moved, allowed = _percent(answer.quote.price_impact_ppm), _percent(limit_ppm)
        detail = f"the swap would move the price by {moved}, and {allowed} is allowed"
        answers.append(answer.rejected(FailureReason.PRICE_IMPACT, detail, retryable=False))
    return Routing.of(answers)


def _percent(ppm: int) -> str:
    return f"{from_base_units(ppm, PERCENT_DECIMALS)} %"


def within_range(routing: Routing, mode: Mode, best_other: int) -> Routing:
    """The answers, with the quotes rejected that are better than a slice's range of prices: they receive more than
    `best_other`, or pay less (base units)."""
    answers = []
    for answer in routing.answers:
        quote = answer.quote
        if quote is None or answer.code:
            answers.append(answer)
            continue
        other, better = (quote.amount_out, "more than") if mode is Mode.EXACT_IN else (quote.amount_in, "less than")
        if (other > best_other) if mode is Mode.EXACT_IN else (other < best_other):
            detail = f"{other} base units are {better} the range of prices allows: {best_other}"
            answers.append(answer.rejected(FailureReason.PRICE_RANGE, detail))
        else:
            answers.append(answer)
    return Routing.of(answers)


def within_bound(routing: Routing, bound: Bound) -> Routing:
    """The answers, with the quotes rejected that are beyond `bound`; the bounds of the others become at least as
    strict."""
    answers = []
    for answer in routing.answers:
        if answer.quote is None or answer.code:
            answers.append(answer)
        elif excess := bound.excess(answer.quote):
            answers.append(answer.rejected(FailureReason.SLIPPAGE, excess))
        else:
            # A venue's own bound may be looser than the order's, and the venue's is what the transaction enforces.
            answers.append(replace(answer, quote=bound.tighten(answer.quote)))
    return Routing.of(answers)
