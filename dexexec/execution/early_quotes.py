"""Requests the quotes of new orders while their claims are being committed.

Between the lease and the pipeline on an order's way. These quotes decide nothing: they bind no party, and a round
uses them only for the request that it would make itself. Building and signing begin under the claim.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.domain.quote import SwapRequest
from dexexec.errors import UnavailableError
from dexexec.execution.accepted_orders import AcceptedOrder
from dexexec.execution.policy_book import PolicyBook
from dexexec.observe.observer import Observer
from dexexec.settlement.settlement import Settlement
from dexexec.venues.router import Router, Routing

FRESH_SECONDS = 0.25
"""Quotes that waited longer for the claim are not used: prices have moved on."""

Venues = frozenset[str] | None
"""The venues that were queried; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyRound:
    """Quotes for `request` that were requested at `begun` (monotonic seconds)."""

    request: SwapRequest
    begun: float
    quoting: "asyncio.Task[tuple[Venues, Routing]]"

    async def routing(self, request: SwapRequest, venues: Venues, now: float) -> Routing | None:
        """The quotes, if they are for this request and from these venues, and were requested a moment before `now`."""
        if request != self.request or now - self.begun > FRESH_SECONDS:
            return None
        try:
            queried, routing = await self.quoting
        except UnavailableError:
            return None
        return routing if queried == venues else None

    def drop(self) -> None:
        """End the request. Without effect on quotes that are there."""
        self.quoting.cancel()


class EarlyQuotes:
    """Requests quotes for orders whose terms are known before their claim."""

    def __init__(
        self, *, router: Router, policies: PolicyBook, settlement: Settlement, clock: Clock, observer: Observer
    ) -> None:
        self._router = router
        self._policies = policies
        self._settlement = settlement
        self._clock = clock
        self._observer = observer

    def begin(self, orders: Mapping[UUID, AcceptedOrder]) -> dict[UUID, EarlyRound]:
        """Request quotes for those of the orders that need nothing else first. Each round must be used or dropped."""
        rounds: dict[UUID, EarlyRound] = {}
        for order_id, accepted in orders.items():
            order = accepted.order
            # The amount of a share is read from the wallet first, and without a signer quotes would be in vain.
            is_share = order.terms is not None and order.terms.share_bps is not None
            if is_share or self._settlement.wallet_trouble(order.wallet, signs=not order.dry_run) is not None:
                continue
            quoting = asyncio.create_task(self._quote(accepted))
            quoting.add_done_callback(ignore_exception)
            rounds[order_id] = EarlyRound(request=order.swap, begun=self._clock.monotonic(), quoting=quoting)
        return rounds

    async def _quote(self, accepted: AcceptedOrder) -> tuple[Venues, Routing]:
        order = accepted.order
        self._observer.tracer.enter(order.traceparent)
        limits = await self._policies.limits_of(order.owner, order.wallet)
        self._settlement.expect(order.wallet, order.swap)
        return limits.venues, await self._router.route(order.swap, accepted.deadline, limits.venues)
