"""Which quotes a round may use that were requested before its order was claimed."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from dexexec.domain.order import NewOrder
from dexexec.domain.policy import NO_LIMITS
from dexexec.domain.quote import SwapRequest
from dexexec.domain.terms import Terms
from dexexec.errors import UnavailableError
from dexexec.execution.accepted_orders import AcceptedOrder
from dexexec.execution.early_quotes import FRESH_SECONDS, EarlyQuotes, EarlyRound
from dexexec.execution.policy_book import OwnerLimits, PolicyBook
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.testing.clock import ManualClock
from dexexec.venues.router import Router, Routing
from tests.support.parts import new_order

QUOTES = Routing((), ())
ONLY = frozenset({"a"})


class Setup:
    """Early quotes over a router that answers when `go_on` is set."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.go_on = asyncio.Event()
        self.requests: list[tuple[Any, ...]] = []
        self.expected: list[SwapRequest] = []
        self.cancelled = 0
        self.outage: UnavailableError | None = None
        self.venues: frozenset[str] | None = None
        self.trouble: SignerError | None = None
        self.early = EarlyQuotes(
            router=cast("Router", self),
            policies=cast("PolicyBook", self),
            settlement=cast("Settlement", self),
            clock=self.clock,
            observer=Observer(make_logger("critical")),
        )

    async def route(self, *request: Any) -> Routing:
        self.requests.append(request)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return QUOTES

    async def limits_of(self, owner: int | None, wallet: str | None = None) -> OwnerLimits:
        if self.outage is not None:
            raise self.outage
        return OwnerLimits(replace(NO_LIMITS, venues=self.venues))

    def expect(self, wallet: str | None, request: SwapRequest) -> None:
        self.expected.append(request)

    def wallet_trouble(self, wallet: str | None, *, signs: bool) -> SignerError | None:
        return self.trouble if signs else None

    def begin(self, order: NewOrder) -> EarlyRound | None:
        return self.early.begin({order.id: AcceptedOrder(order, 30.0)}).get(order.id)


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_a_round_gets_the_quotes_for_its_own_request_and_until_the_order_s_deadline(setup: Setup) -> None:
    order = new_order()
    setup.venues = ONLY
    early = setup.begin(order)
    assert early is not None
    setup.go_on.set()
    assert await early.routing(order.swap, ONLY, setup.clock.monotonic()) is QUOTES
    assert setup.requests == [(order.swap, 30.0, ONLY)]
    assert setup.expected == [order.swap]
    early.drop()
    assert setup.cancelled == 0, "they were used"


async def test_quotes_for_another_request_or_other_venues_or_from_long_ago_are_not_used(setup: Setup) -> None:
    order = new_order()
    early = setup.begin(order)
    assert early is not None
    setup.go_on.set()
    now = setup.clock.monotonic()
    other = replace(order.swap, amount=order.swap.amount + 1)
    assert await early.routing(other, None, now) is None
    assert await early.routing(order.swap, ONLY, now) is None
    assert await early.routing(order.swap, None, now + FRESH_SECONDS + 0.01) is None
    assert await early.routing(order.swap, None, now) is QUOTES


async def test_without_the_limits_of_its_owner_a_round_requests_quotes_itself(setup: Setup) -> None:
    setup.outage = UnavailableError("Postgres does not answer")
    order = new_order()
    early = setup.begin(order)
    assert early is not None
    assert await early.routing(order.swap, None, setup.clock.monotonic()) is None


async def test_what_is_dropped_is_cancelled(setup: Setup) -> None:
    early = setup.begin(new_order())
    assert early is not None
    await asyncio.sleep(0)
    early.drop()
    await asyncio.wait([early.quoting])
    assert (len(setup.requests), setup.cancelled) == (1, 1)


async def test_nothing_is_requested_for_an_order_that_needs_something_else_first(setup: Setup) -> None:
    """The balance of which it spends a share, or a signer that answers."""
    assert setup.begin(replace(new_order(), terms=Terms(share_bps=5_000))) is None
    setup.trouble = SignerError(SignerTrouble.NOT_CONFIGURED, "there is no wallet of that name")
    assert setup.begin(new_order()) is None
    dry = setup.begin(replace(new_order(), dry_run=True))
    assert dry is not None
    dry.drop()
