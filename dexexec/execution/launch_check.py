"""Checks a sniper's conditions again before it spends anything: it only trades with pools that fulfil them.

The trigger was decided on figures that may be old by now. Price impact and price are checked as for all orders.
"""

from collections.abc import Mapping
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.launch import NewPool
from dexexec.domain.order import Order
from dexexec.domain.quote import Quote
from dexexec.domain.sniper_conditions import SniperConditions
from dexexec.venues.router import Routing


class LaunchStore(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def launches_of(self, mints: tuple[str, str]) -> list[NewPool]:
        """The recorded pools of two mints."""


async def within_conditions(store: LaunchStore, order: Order, routing: Routing, clock: Clock) -> Routing:
    """The answers, with the quotes rejected whose pools do not fulfil the conditions. Other orders have none. Raises
    `UnavailableError`."""
    conditions = order.terms.conditions if order.terms is not None else None
    if conditions is None:
        return routing
    pools = {pool.address: pool for pool in await store.launches_of((order.input_mint, order.output_mint))}
    now_ms = clock.unix_ms()
    answers = []
    for answer in routing.answers:
        problem = ""
        if answer.quote is not None and not answer.code:
            problem = _problem(conditions, answer.quote, pools, now_ms)
        answers.append(answer.rejected(FailureReason.CONDITION, problem) if problem else answer)
    return Routing.of(answers)


def _problem(conditions: SniperConditions, quote: Quote, pools: Mapping[str, NewPool], now_ms: int) -> str:
    """Why the order may not swap by this quote; empty if it may."""
    # Every pool on the way: the conditions are about what the order's tokens pass through.
    for address in quote.route:
        pool = pools.get(address)
        if pool is None or pool.venue != quote.venue:
            return f"the pool {address} was not reported by {quote.venue}, so its conditions cannot be checked"
        stops = conditions.stops_of_pool(pool, quote.request.mint_out, now_ms)
        if stops:
            return "; ".join(stop.text for stop in stops)
    return ""
