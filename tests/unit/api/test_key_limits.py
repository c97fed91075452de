"""Requests per second and sockets of a key: what is counted, and what happens without Redis."""

import pytest

from dexexec.api.caller import Caller
from dexexec.api.key_limits import KeyLimits, SocketPlace, window_of
from dexexec.broker.rate_limiter import Grant
from dexexec.domain.api_key import Scope
from dexexec.domain.policy import Policy
from dexexec.errors import UnavailableError
from dexexec.operator_errors import PolicyError, TooManyRequestsError
from dexexec.testing.clock import ManualClock


class Windows:
    """Grants as often as a test allows; None: Redis is away."""

    def __init__(self, left: int | None) -> None:
        self.left = left
        self.asked: list[tuple[str, int, int | None]] = []

    async def take(self, key: str, limit: int, count: int = 1, *, window_ms: int | None = None) -> Grant:
        self.asked.append((key, limit, window_ms))
        if self.left is None:
            raise UnavailableError("Redis does not answer")
        granted = min(self.left, count)
        self.left -= granted
        return Grant(granted, 0.0 if granted else 0.7)


class Leases:
    """The sockets that are open."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def open(self, owner: int, limit: int) -> str | None:
        if len(self.names) >= limit:
            return None
        self.names.add(f"{owner}:{len(self.names)}")
        return f"{owner}:{len(self.names) - 1}"

    async def close(self, name: str) -> None:
        self.names.remove(name)


def caller(policy: Policy, owner: int | None = 7) -> Caller:
    return Caller(owner=owner, name="desk", scopes=frozenset({Scope.READ}), policy=policy)


RATES = [(5.0, (5, 1.0)), (1.0, (1, 1.0)), (2.5, (25, 10.0)), (0.5, (5, 10.0)), (0.01, (1, 100.0))]


@pytest.mark.parametrize(("rate", "window"), RATES)
def test_a_rate_is_a_number_in_a_window(rate: float, window: tuple[int, float]) -> None:
    assert window_of(rate) == window


async def test_more_requests_than_allowed_are_refused_with_when_to_come_again() -> None:
    windows = Windows(2)
    limits = KeyLimits(windows, Leases(), ManualClock())
    own = caller(Policy(requests_per_second=2))
    await limits.count_request(own)
    await limits.count_request(own)
    with pytest.raises(TooManyRequestsError, match="requestsPerSecond is 2") as caught:
        await limits.count_request(own)
    assert caught.value.retry_after == 0.7
    assert windows.asked == [("key:7", 2, 1_000)] * 3


async def test_a_key_without_the_limit_and_a_caller_without_a_key_cost_nothing() -> None:
    windows = Windows(0)
    limits = KeyLimits(windows, Leases(), ManualClock())
    await limits.count_request(caller(Policy()))
    await limits.count_request(caller(Policy(requests_per_second=1), owner=None))
    assert windows.asked == []
    assert await limits.open_socket(caller(Policy())) is None


async def test_without_redis_each_process_counts_its_own_requests() -> None:
    clock = ManualClock()
    limits = KeyLimits(Windows(None), Leases(), clock)
    own = caller(Policy(requests_per_second=2))
    for _ in range(20):
        await limits.count_request(own)
    with pytest.raises(TooManyRequestsError) as caught:
        await limits.count_request(own)
    assert caught.value.retry_after == 0.5
    clock.advance(2)
    await limits.count_request(own)


async def test_a_socket_has_one_place_and_gives_it_back_once() -> None:
    leases = Leases()
    limits = KeyLimits(Windows(0), leases, ManualClock())
    own = caller(Policy(sockets=1))
    first, second = SocketPlace(limits), SocketPlace(limits)
    await first.take(own)
    await first.take(own)
    with pytest.raises(PolicyError) as caught:
        await second.take(own)
    assert str(caught.value) == "over the key's policy: sockets is 1, given 2 at once"
    await second.leave()
    await first.leave()
    await first.leave()
    assert leases.names == set()
    await second.take(own)
