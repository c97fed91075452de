"""Fixes the amount of an order for a share of the wallet's balance, at the start of each round.

The balance is read anew each time, under the order's claim. It is no reservation: whether the amount still fits beside
other orders is decided when the attempt is recorded, under the wallet's lock.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import replace

from dexexec.clock import Clock
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import U64_MAX, Order
from dexexec.domain.share import least_received, share_of
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.execution.attempt_recorder import FIRST_FUNDS_PAUSE, LONGEST_FUNDS_PAUSE
from dexexec.execution.event_detail import Presenter
from dexexec.execution.job import Job
from dexexec.execution.wait_notes import WaitNotes
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.wallet_balances import WalletBalances
from dexexec.store import RoundAmount
from dexexec.venue import AnyVenue, InsufficientFunds
from dexexec.venues.router import Routing


class ShareAmounts:
    """Reads amounts from the wallet of the network that `venues` settle on. An order waits up to `funds_wait_ms` for a
    balance of which others in flight may take everything."""

    def __init__(
        self,
        *,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        notes: WaitNotes,
        presenter: Presenter,
        funds_wait_ms: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._balances = WalletBalances(settlement, venues.values())
        self._venues = venues
        self._notes = notes
        self._presenter = presenter
        self._funds_wait_ms = funds_wait_ms
        self._clock = clock
        self._rng = rng

    async def fix(self, job: Job) -> Detail:
        """Set the order's amount, and its bound for that amount, for this round; return the figures, or nothing if its
        amount is fixed. Raises `VenueError`."""
        share_bps = job.order.share_bps
        if share_bps is None:
            return {}
        spendable = await self._spendable(job)
        amount = share_of(spendable.available, share_bps)
        if amount == 0:
            raise InsufficientFunds(self._presenter.nothing_to_spend(job.order, spendable))
        bound = self._bound(job.order, amount)
        # Written with this round's first step, so that a restart and the comparison of the fill go by these figures.
        if (amount, bound) != (job.order.amount_base, job.order.bound):
            job.order = replace(job.order, amount_base=amount, bound=bound)
            job.amount = RoundAmount(amount, bound)
        return {"amountBase": str(amount), "spendable": spendable.detail()}

    def from_one_wallet(self, routing: Routing) -> Routing:
        """The answers, with the quotes rejected that would spend from another wallet than the one that was read."""
        network = self._balances.network()
        answers = [
            answer.rejected(
                FailureReason.UNSUPPORTED, f"the amount is of the wallet's balance on {network}", retryable=False
            )
            if answer.quote and not answer.code and self._venues[answer.venue].capabilities.network != network
            else answer
            for answer in routing.answers
        ]
        return Routing.of(answers)

    async def _spendable(self, job: Job) -> SpendableBalance:
        """The balance, after a wait while others in flight may still take all of it."""
        mint = job.order.swap.mint_in
        pause = FIRST_FUNDS_PAUSE
        while True:
            spendable = await self._balances.spendable(mint, job.order.wallet)
            now = self._clock.monotonic()
            # If only a part is reserved the rest is sold at once: waiting for others would be another order's business.
            if not spendable.freed_later:
                return spendable
            if job.funds_until is None:
                job.funds_until = min(now + self._funds_wait_ms / 1000, job.deadline)
            left = job.funds_until - now
            if left <= 0:
                return spendable
            detail = self._presenter.nothing_to_spend(job.order, spendable)
            await self._notes.report(job, Waiting(WaitsFor.FUNDS, detail))
            # The random part keeps orders that wait for the same balance from reading it together.
            await self._clock.sleep(min(pause * self._rng.uniform(0.5, 1), left))
            pause = min(2 * pause, LONGEST_FUNDS_PAUSE)

    def _bound(self, order: Order, amount: int) -> Bound | None:
        """The order's bound for `amount`: its limit price, or the price that its first quote fixed; None before."""
        limit = order.terms.limit_price if order.terms else None
        if limit is not None:
            least = math.ceil(amount * self._presenter.rate_at(order, limit))
        elif order.bound is not None and order.first_quote is not None:
            least = least_received(order.first_quote, amount, order.slippage_bps)
        else:
            return None
        # More than a token account can hold is never received: such a bound refuses every quote.
        return Bound(min(least, U64_MAX), amount)
