"""A node that gets too many requests: all its users slow down together, and no request fails that has time to wait."""

import asyncio
from collections import deque
from typing import Any

import pytest

from dexexec.settlement.solana.rpc.host_pacing import MAX_RATE, MIN_RATE, HostPacing
from dexexec.settlement.solana.rpc.methods import GENESIS_HASH
from dexexec.settlement.solana.rpc.node_errors import NodeRateLimitedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.request_budget import RequestBudget
from dexexec.settlement.solana.rpc.throttled_nodes import ThrottledNodes
from dexexec.testing.clock import ManualClock


class Limited:
    """A node that takes so many requests in any second, and answers 429 to more."""

    name, host, endpoint = "limited", "limited", "limited:80"

    def __init__(self, clock: ManualClock, per_second: int) -> None:
        self.clock, self.per_second = clock, per_second
        self.taken: deque[float] = deque()
        self.refused = 0

    async def call(self, question: Any) -> Any:
        await self.clock.sleep(0.05)
        now = self.clock.monotonic()
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) >= self.per_second:
            self.refused += 1
            raise NodeRateLimitedError("429")
        self.taken.append(now)
        return "hash"


async def call_all(throttled: ThrottledNodes, node: Any, count: int) -> list[Any]:
    waiting = [throttled.call(node, GENESIS_HASH, until=60.0) for _ in range(count)]
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_promise_17_all_slow_down_together_and_get_their_answers() -> None:
    clock = ManualClock()
    node, throttled = Limited(clock, 10), ThrottledNodes(clock, RequestBudget(clock), timeout=60.0, max_lag=10)
    assert await call_all(throttled, node, 60) == ["hash"] * 60
    assert clock.monotonic() < 40, "it does not crawl"
    before = node.refused
    for _ in range(5):
        assert await call_all(throttled, node, 10) == ["hash"] * 10
    assert node.refused - before <= 10, "the pace is kept"


async def test_a_call_without_time_left_fails_at_once() -> None:
    clock = ManualClock()
    node, throttled = Limited(clock, 0), ThrottledNodes(clock, RequestBudget(clock), timeout=60.0, max_lag=10)
    with pytest.raises(NodeUnavailableError):
        await throttled.call(node, GENESIS_HASH, until=0.1)  # type: ignore[arg-type]
    assert clock.monotonic() < 1


def test_the_rate_is_halved_by_a_complaint_and_grows_slowly() -> None:
    clock = ManualClock()
    pace = HostPacing(clock, "host")
    assert pace.bucket() is None
    for _ in range(40):
        pace.answered()
    pace.slow_down()
    assert pace.rate == 20
    pace.slow_down()
    assert pace.rate == 10
    clock.advance(10)
    assert pace.bucket() is not None
    assert pace.rate == pytest.approx(10 * 1.1**10)
    pace.slow_down()
    assert pace.rate == MIN_RATE, "it answered nothing in the last second"
    clock.advance(1_000)
    assert pace.bucket() is None, f"past {MAX_RATE:g} there is no limit any more"


async def test_promise_17_one_complaint_in_a_quiet_moment_does_not_make_all_crawl() -> None:
    """No request was answered just before, because none was sent: that is no measure of the allowed rate."""
    clock = ManualClock()
    node, throttled = Limited(clock, 0), ThrottledNodes(clock, RequestBudget(clock), timeout=60.0, max_lag=10)
    first = asyncio.ensure_future(throttled.call(node, GENESIS_HASH, until=60.0))  # type: ignore[arg-type]
    while not node.refused:
        await asyncio.sleep(0)
    node.per_second = 30
    assert await call_all(throttled, node, 40) == ["hash"] * 40
    assert await first == "hash"
    assert clock.monotonic() < 10, "seconds"
