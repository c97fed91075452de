"""The budget of requests: never exceeded, settlement before quoting, and no caller waits longer than it can."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.settlement.solana.rpc.request_budget import (
    MAX_COOLDOWN,
    MIN_COOLDOWN,
    PUBLIC_LIMITS,
    BudgetExhaustedError,
    Cooldown,
    RequestBudget,
)
from dexexec.testing.clock import ManualClock

QUOTE, SEARCH, SEND, LOOK = "getMultipleAccounts", "getProgramAccounts", "sendTransaction", "getSignatureStatuses"
HOST, PUBLIC = "node.example", "api.devnet.solana.com"


class BudgetedRequests:
    """A budget, and when each question got its turn."""

    def __init__(self, per_second: float | None, host: str = HOST) -> None:
        self.clock, self.host = ManualClock(), host
        self.budget = RequestBudget(self.clock, per_second)
        self.turns: list[tuple[str, float]] = []

    async def send(self, method: str, name: str = "", within: float = 1e9) -> None:
        await self.budget.take(self.host, method, self.clock.monotonic() + within)
        self.turns.append((name or method, round(self.clock.monotonic(), 6)))

    async def send_all(self, *methods: str) -> None:
        await asyncio.gather(*(self.send(method, f"{method} {at}") for at, method in enumerate(methods)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.turns]


async def test_a_full_bucket_allows_a_burst_and_then_its_rate() -> None:
    requests = BudgetedRequests(8)
    await requests.send_all(*[LOOK] * 12)
    assert [at for _, at in requests.turns] == [0] * 8 + [0.125, 0.25, 0.375, 0.5]


async def test_without_a_limit_no_caller_waits() -> None:
    requests = BudgetedRequests(None)
    await requests.send_all(*[QUOTE] * 5_000)
    assert {at for _, at in requests.turns} == {0}


async def test_a_reserve_is_left_for_sending_and_looking_up() -> None:
    requests = BudgetedRequests(8)
    await asyncio.gather(*(requests.send(method) for method in (*[QUOTE] * 20, SEND, LOOK)))
    assert [name for name, at in requests.turns if not at] == [*[QUOTE] * 6, SEND, LOOK], "a quarter is reserved"
    assert len(requests.turns) == 22


async def test_settlement_goes_before_any_number_of_waiting_quotes() -> None:
    requests = BudgetedRequests(4)
    await asyncio.gather(*(requests.send(method) for method in (*[QUOTE] * 40, *[LOOK] * 7)))
    assert requests.names[:3] == [QUOTE] * 3
    assert requests.names[3:10] == [LOOK] * 7
    assert requests.turns[9][1] == 6 / 4


async def test_equal_requests_are_served_in_order_of_arrival() -> None:
    requests = BudgetedRequests(4)
    await requests.send_all(*[QUOTE] * 9, *[SEND] * 9)
    for method in (QUOTE, SEND):
        places = [int(name.split()[1]) for name in requests.names if name.startswith(method)]
        assert places == sorted(places)


async def test_a_caller_without_its_turn_in_time_gets_the_name_of_the_spent_budget() -> None:
    requests = BudgetedRequests(4)
    await requests.send_all(*[SEND] * 4)
    with pytest.raises(BudgetExhaustedError, match=r"4 requests per second \(DEXEXEC_RPC_REQUESTS_PER_SECOND\)"):
        await requests.send(SEND, within=0.2)
    await requests.send(SEND, within=0.25)
    assert requests.clock.monotonic() == pytest.approx(0.25)


async def test_no_caller_waits_past_its_time_when_others_go_first() -> None:
    requests = BudgetedRequests(4)
    await requests.send_all(*[SEND] * 4)
    found = await asyncio.gather(
        requests.send(QUOTE, within=0.6),  # for its token and the reserve, as long as nobody else comes
        requests.send(SEND),
        requests.send(SEND),
        return_exceptions=True,
    )
    assert [type(one) for one in found] == [BudgetExhaustedError, type(None), type(None)]


async def test_a_cancelled_request_takes_no_token() -> None:
    requests = BudgetedRequests(4)
    await requests.send_all(*[SEND] * 4)
    waiting = [asyncio.ensure_future(requests.send(SEND)) for _ in range(50)]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    began = requests.clock.monotonic()
    await requests.send(SEND)
    assert requests.clock.monotonic() - began <= 0.25


@given(st.lists(st.tuples(st.sampled_from([QUOTE, SEND]), st.floats(0, 3)), min_size=1, max_size=60))
def test_no_period_has_more_requests_than_the_budget_allows(attempts: list[tuple[str, float]]) -> None:
    async def run() -> list[float]:
        requests = BudgetedRequests(5)

        async def one(method: str, at: float) -> None:
            await requests.clock.sleep(at)
            await requests.send(method)

        await asyncio.gather(*(one(*each) for each in attempts))
        return sorted(at for _, at in requests.turns)

    turns = asyncio.run(run())
    assert len(turns) == len(attempts)
    for first, begin in enumerate(turns):
        for last in range(first, len(turns)):
            assert last - first + 1 <= 5 + 5 * (turns[last] - begin) + 0.01


@pytest.mark.parametrize("host", sorted(PUBLIC_LIMITS))
async def test_a_public_nodes_limits_hold_in_every_ten_seconds_of_one_method_and_of_all(host: str) -> None:
    requests = BudgetedRequests(None, host)
    await asyncio.gather(*(requests.send(method, method) for method in (QUOTE, SEARCH, SEND, LOOK) for _ in range(100)))
    for method, most in ((None, 100), (QUOTE, 40), (SEND, 40)):
        times = [at for name, at in requests.turns if method in {None, name}]
        assert max(sum(begin <= at < begin + 10 for at in times) for begin in times) <= most


async def test_a_public_nodes_limit_of_a_method_holds_also_where_more_is_set() -> None:
    requests = BudgetedRequests(1_000, PUBLIC)
    await asyncio.gather(*(requests.send(SEARCH) for _ in range(41)))
    assert requests.clock.monotonic() >= 10
    with pytest.raises(BudgetExhaustedError, match=f"40 requests in 10 s of one method to {PUBLIC}"):
        await requests.send(SEARCH, within=0.1)


@contextmanager
def cooldown_with_clock() -> Iterator[tuple[ManualClock, Cooldown]]:
    clock = ManualClock()
    yield clock, Cooldown(clock)


def cooldowns(retry_afters: list[float | None]) -> list[float]:
    """For a node that is used again as soon as its rest is over."""
    found = []
    with cooldown_with_clock() as (clock, cooldown):
        for retry_after in retry_afters:
            cooldown.begin(retry_after)
            found.append(cooldown.left)
            clock.advance(cooldown.left)
    return found


def test_a_nodes_cooldowns_grow_up_to_a_limit() -> None:
    assert cooldowns([None] * 8) == [0.5, 1, 2, 4, 8, 16, MAX_COOLDOWN, MAX_COOLDOWN]


def test_a_nodes_retry_after_is_used_within_the_limits() -> None:
    assert cooldowns([3.0, None, 0.0, 1e6]) == [3, 6, MIN_COOLDOWN, MAX_COOLDOWN]


def test_an_answer_resets_the_next_cooldown() -> None:
    with cooldown_with_clock() as (clock, cooldown):
        for _ in range(4):
            cooldown.begin(None)
            clock.advance(cooldown.left)
        cooldown.end()
        cooldown.begin(None)
        assert cooldown.left == MIN_COOLDOWN


def test_answers_and_refusals_on_their_way_neither_end_nor_lengthen_a_cooldown() -> None:
    with cooldown_with_clock() as (clock, cooldown):
        cooldown.begin(2.0)
        clock.advance(0.5)
        for _ in range(64):
            cooldown.begin(None)
        assert cooldown.left == 1.5
        cooldown.end()
        assert cooldown.left == 1.5
