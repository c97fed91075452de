"""Decides whether a sniper buys from the launched pools: all conditions, on the pools as read and on fresh quotes.

Pure. What keeps the order from a pool is a stop with its figure, for the order's events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.launch import NewPool
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.sniper_conditions import SniperConditions, Stop, impact_text
from dexexec.domain.wait_reason import WaitsFor
from dexexec.store import RestingOrder
from dexexec.venues.router import Routing


@dataclass(frozen=True, slots=True)
class PoolStop:
    """A condition that a pool does not fulfil."""

    pool: NewPool
    stop: Stop

    def detail(self) -> Detail:
        """The detail of its event."""
        return {
            "waitsFor": WaitsFor.LAUNCH,
            "reason": FailureReason.CONDITION,
            "condition": self.stop.condition,
            "seen": self.stop.seen,
            "limit": self.stop.limit,
            "pool": self.pool.address,
            "venue": self.pool.venue,
            "detail": f"the pool {self.pool.address} of {self.pool.venue} was launched, but {self.stop.text}",
        }


@dataclass(frozen=True, slots=True)
class NoQuote:
    """A pool that fulfils the conditions so far, but its venue gives no quote."""

    pool: NewPool
    code: str
    text: str

    def detail(self) -> Detail:
        """The detail of its event."""
        return {
            "waitsFor": WaitsFor.LAUNCH,
            "reason": self.code,
            "pool": self.pool.address,
            "venue": self.pool.venue,
            "detail": f"the pool {self.pool.address} of {self.pool.venue} was launched, but there is no quote:"
            f" {self.text or self.code}",
        }


Obstacle = PoolStop | NoQuote
"""What keeps an order from a pool."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The best quote that fulfils all conditions with its pool, or what keeps the order from every pool."""

    quote: Quote | None
    pool: NewPool | None
    obstacles: Sequence[Obstacle]


def conditions_of(order: RestingOrder) -> SniperConditions:
    """The order's conditions; none for an order without any."""
    return order.terms.conditions or SniperConditions()


def request_of(order: RestingOrder) -> SwapRequest:
    """The swap that the order executes."""
    return SwapRequest(
        mint_in=order.input_mint,
        mint_out=order.output_mint,
        amount=order.amount_base,
        mode=order.mode,
        slippage_bps=order.slippage_bps,
    )


def stops_of_pools(order: RestingOrder, pools: Sequence[NewPool], now_ms: int) -> list[PoolStop]:
    """What keeps the order from the open pools, before any quote."""
    conditions = conditions_of(order)
    return [
        PoolStop(pool, stop)
        for pool in pools
        if pool.launched_at_ms <= now_ms
        for stop in conditions.stops_of_pool(pool, order.output_mint, now_ms)
    ]


def choose(
    order: RestingOrder,
    pools: Mapping[str, NewPool],
    stops: Sequence[PoolStop],
    routing: Routing,
    *,
    impact_bps: int,
    now_ms: int,
) -> Choice:
    """The best quote of a pool that no stop keeps the order from. `stops` are those of the pools."""
    stopped = {stop.pool.address for stop in stops}
    found: list[Obstacle] = list(stops)
    for quote in routing.ranking:
        [address, *others] = quote.route
        pool = pools.get(address)
        # A quote over other pools, or over several, cannot be compared with the conditions.
        if pool is None or others or pool.venue != quote.venue or address in stopped:
            continue
        of_quote = conditions_of(order).stops_of_quote(quote, pool, impact_bps)
        if not of_quote:
            return Choice(quote, pool, found)
        found += [PoolStop(pool, stop) for stop in of_quote]
    # Without this an order would wait in silence for a pool that looks right.
    refused = {answer.venue: answer for answer in routing.answers if answer.code}
    for pool in pools.values():
        answer = refused.get(pool.venue)
        if answer is not None and pool.address not in stopped and pool.launched_at_ms <= now_ms:
            found.append(NoQuote(pool, answer.code, answer.detail))
    return Choice(None, None, found)


def bound_of(order: RestingOrder, pool: NewPool) -> Bound | None:
    """The order's bound by its `maxPrice`; None: the first quote and the slippage fix it."""
    least = conditions_of(order).least_out(order.amount_base, pool, order.output_mint)
    return None if least is None else Bound(least, order.amount_base)


def trigger_detail(quote: Quote, pool: NewPool, mint: str, now_ms: int) -> Detail:
    """The detail of the event of a triggered order: the pool and the figures that were seen."""
    [spent] = [token for token in pool.tokens if token.mint != mint]
    figures: dict[str, object] = {
        "pool": pool.address,
        "venue": pool.venue,
        "launchedAtMs": pool.launched_at_ms,
        "ageMs": now_ms - pool.launched_at_ms,
        "liquidity": str(spent.reserve),
        "amountIn": str(quote.amount_in),
        "amountOut": str(quote.amount_out),
        "priceImpactBps": impact_text(quote.price_impact_ppm),
    }
    return {
        "triggered": figures,
        "detail": f"the pool {pool.address} of {pool.venue} was launched, and every condition is fulfilled",
    }
