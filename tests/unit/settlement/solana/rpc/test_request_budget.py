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


class Bench:
    """A budget, and when each question got its turn."""

    def __init__(self, per_second: float | None, host: str = HOST) -> None:
        self.clock, self.host = ManualClock(), host
        self.budget = RequestBudget(self.clock, per_second)
        self.turns: list[tuple[str, float]] = []

    async def ask(self, method: str, name: str = "", within: float = 1e9) -> None:
        await self.budget.take(self.host, method, self.clock.monotonic() + within)
        self.turns.append((name or method, round(self.clock.monotonic(), 6)))

    async def ask_all(self, *methods: str) -> None:
        await asyncio.gather(*(self.ask(method, f"{method} {at}") for at, method in enumerate(methods)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.turns]


async def test_a_burst_is_let_through_and_then_only_what_comes_in() -> None:
    bench = Bench(8)
    await bench.ask_all(*[LOOK] * 12)
    assert [at for _, at in bench.turns] == [0] * 8 + [0.125, 0.25, 0.375, 0.5]


async def test_without_a_limit_no_caller_waits() -> None:
    bench = Bench(None)
    await bench.ask_all(*[QUOTE] * 5_000)
    assert {at for _, at in bench.turns} == {0}


async def test_a_reserve_is_left_for_sending_and_looking_up() -> None:
    bench = Bench(8)
    await asyncio.gather(*(bench.ask(method) for method in (*[QUOTE] * 20, SEND, LOOK)))
    assert [name for name, at in bench.turns if not at] == [*[QUOTE] * 6, SEND, LOOK], "a quarter is reserved"
    assert len(bench.turns) == 22


async def test_however_many_quotes_wait_what_settles_goes_first() -> None:
    bench = Bench(4)
    await asyncio.gather(*(bench.ask(method) for method in (*[QUOTE] * 40, *[LOOK] * 7)))
    assert bench.names[:3] == [QUOTE] * 3
    assert bench.names[3:10] == [LOOK] * 7
    assert bench.turns[9][1] == 6 / 4


async def test_equals_are_served_in_the_order_they_came() -> None:
    bench = Bench(4)
    await bench.ask_all(*[QUOTE] * 9, *[SEND] * 9)
    for method in (QUOTE, SEND):
        places = [int(name.split()[1]) for name in bench.names if name.startswith(method)]
        assert places == sorted(places)


async def test_a_caller_without_its_turn_in_time_gets_the_name_of_the_spent_budget() -> None:
    bench = Bench(4)
    await bench.ask_all(*[SEND] * 4)
    with pytest.raises(BudgetExhaustedError, match=r"4 requests per second \(DEXEXEC_RPC_REQUESTS_PER_SECOND\)"):
        await bench.ask(SEND, within=0.2)
    await bench.ask(SEND, within=0.25)
    assert bench.clock.monotonic() == pytest.approx(0.25)


async def test_no_caller_waits_past_its_time_when_others_go_first() -> None:
    bench = Bench(4)
    await bench.ask_all(*[SEND] * 4)
    found = await asyncio.gather(
        bench.ask(QUOTE, within=0.6),  # for its token and the reserve, as long as nobody else comes
        bench.ask(SEND),
        bench.ask(SEND),
        return_exceptions=True,
    )
    assert [type(one) for one in found] == [BudgetExhaustedError, type(None), type(None)]


async def test_who_gives_up_waiting_takes_no_token() -> None:
    bench = Bench(4)
    await bench.ask_all(*[SEND] * 4)
    waiting = [asyncio.ensure_future(bench.ask(SEND)) for _ in range(50)]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    began = bench.clock.monotonic()
    await bench.ask(SEND)
    assert bench.clock.monotonic() - began <= 0.25


@given(st.lists(st.tuples(st.sampled_from([QUOTE, SEND]), st.floats(0, 3)), min_size=1, max_size=60))
def test_no_period_has_more_requests_than_the_budget_allows(asked: list[tuple[str, float]]) -> None:
    async def story() -> list[float]:
        bench = Bench(5)

        async def one(method: str, at: float) -> None:
            await bench.clock.sleep(at)
            await bench.ask(method)

        await asyncio.gather(*(one(*each) for each in asked))
        return sorted(at for _, at in bench.turns)

    turns = asyncio.run(story())
    assert len(turns) == len(asked)
    for first, begin in enumerate(turns):
        for last in range(first, len(turns)):
            assert last - first + 1 <= 5 + 5 * (turns[last] - begin) + 0.01


@pytest.mark.parametrize("host", sorted(PUBLIC_LIMITS))
async def test_a_public_nodes_limits_hold_in_every_ten_seconds_of_one_method_and_of_all(host: str) -> None:
    bench = Bench(None, host)
    await asyncio.gather(*(bench.ask(method, method) for method in (QUOTE, SEARCH, SEND, LOOK) for _ in range(100)))
    for method, most in ((None, 100), (QUOTE, 40), (SEND, 40)):
        times = [at for name, at in bench.turns if method in {None, name}]
        assert max(sum(begin <= at < begin + 10 for at in times) for begin in times) <= most


async def test_a_public_nodes_limit_of_a_method_holds_also_where_more_is_set() -> None:
    bench = Bench(1_000, PUBLIC)
    await asyncio.gather(*(bench.ask(SEARCH) for _ in range(41)))
    assert bench.clock.monotonic() >= 10
    with pytest.raises(BudgetExhaustedError, match=f"40 requests in 10 s of one method to {PUBLIC}"):
        await bench.ask(SEARCH, within=0.1)


@contextmanager
def resting() -> Iterator[tuple[ManualClock, Cooldown]]:
    clock = ManualClock()
    yield clock, Cooldown(clock)


def pauses(wanted: list[float | None]) -> list[float]:
    """For a node that is used again as soon as its rest is over."""
    found = []
    with resting() as (clock, rest):
        for want in wanted:
            rest.begin(want)
            found.append(rest.left)
            clock.advance(rest.left)
    return found


def test_a_nodes_rests_grow_up_to_a_bound() -> None:
    assert pauses([None] * 8) == [0.5, 1, 2, 4, 8, 16, MAX_COOLDOWN, MAX_COOLDOWN]


def test_a_nodes_retry_after_goes_first_within_the_bounds() -> None:
    assert pauses([3.0, None, 0.0, 1e6]) == [3, 6, MIN_COOLDOWN, MAX_COOLDOWN]


def test_a_node_that_answers_again_rests_briefly_the_next_time() -> None:
    with resting() as (clock, rest):
        for _ in range(4):
            rest.begin(None)
            clock.advance(rest.left)
        rest.end()
        rest.begin(None)
        assert rest.left == MIN_COOLDOWN


def test_what_was_on_its_way_when_a_rest_began_neither_ends_nor_lengthens_it() -> None:
    with resting() as (clock, rest):
        rest.begin(2.0)
        clock.advance(0.5)
        for _ in range(64):
            rest.begin(None)
        assert rest.left == 1.5
        rest.end()
        assert rest.left == 1.5
