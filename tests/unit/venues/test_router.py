"""The router: all venues at once, one deadline, the best net of fees, and a reason for each that lost."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.clock import Clock, SystemClock
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.observe.observer import Observer, make_logger
from dexexec.observe.untrusted_text import LONGEST
from dexexec.testing.clock import ManualClock
from dexexec.venue import Capabilities, NoRoute, RateLimited, Timeout, Unreachable, VenueError
from dexexec.venues.ranking import net_amount, rank
from dexexec.venues.router import QUARANTINE_SECONDS, Router
from tests.support.scripted import BUY_ONE_SOL, SELL_ONE_SOL, ScriptedVenue, forever, quote_of, raising

CLOCK = SystemClock()
FAR = 1e12


def router(
    *venues: ScriptedVenue,
    timeout_ms: int = 2_000,
    failures: int = 3,
    seconds: float = 60,
    clock: Clock = CLOCK,
    quarantined: Mapping[str, str] = MappingProxyType({}),
) -> Router:
    return Router(
        {venue.name: venue for venue in venues},
        clock,
        Observer(make_logger("critical")),
        timeout_ms=timeout_ms,
        breaker_failures=failures,
        breaker_seconds=seconds,
        quarantine=lambda venue: quarantined.get(venue, ""),
    )


async def test_promise_34_a_quarantined_venue_is_not_requested_and_the_others_are() -> None:
    upgraded = ScriptedVenue("upgraded", CLOCK, 200)
    other = ScriptedVenue("other", CLOCK, 150)
    upgraded.on_quote = forever
    quarantined = {"upgraded": "quarantined: its program was upgraded"}
    routed = router(upgraded, other, quarantined=quarantined)
    routing = await routed.route(SELL_ONE_SOL, FAR)
    assert [quote.venue for quote in routing.ranking] == ["other"]
    [refused] = [answer for answer in routing.answers if answer.quote is None]
    assert (refused.venue, refused.code, refused.detail) == ("upgraded", "quarantined", quarantined["upgraded"])
    assert refused.retryable, "an order that needs it waits"
    assert routing.breakers_open_ms is None
    assert routed.trouble() == ""
    quarantined.clear()
    upgraded.on_quote = ScriptedVenue("upgraded", CLOCK, 200).on_quote
    assert [quote.venue for quote in (await routed.route(SELL_ONE_SOL, FAR)).ranking] == ["upgraded", "other"]


async def test_an_order_looks_again_soon_where_all_venues_are_quarantined_and_an_operator_sees_why() -> None:
    venues = [ScriptedVenue("one", CLOCK), ScriptedVenue("two", CLOCK)]
    routed = router(*venues, quarantined={"one": "upgraded", "two": "upgraded"})
    routing = await routed.route(SELL_ONE_SOL, FAR)
    assert routing.ranking == ()
    assert routing.breakers_open_ms == QUARANTINE_SECONDS * 1000
    assert routed.trouble() == "every venue is skipped: one (quarantined), two (quarantined)"


async def test_the_best_quote_wins_and_the_others_are_kept() -> None:
    worse = ScriptedVenue("worse", CLOCK, 149)
    better = ScriptedVenue("better", CLOCK, 150)
    routing = await router(worse, better).route(SELL_ONE_SOL, FAR)
    assert [quote.venue for quote in routing.ranking] == ["better", "worse"]
    assert {answer.venue for answer in routing.answers} == {"worse", "better"}


async def test_venues_are_queried_at_the_same_time() -> None:
    meeting = asyncio.Barrier(2)

    def meets(venue: ScriptedVenue) -> ScriptedVenue:
        price = venue.on_quote

        async def meet(request: SwapRequest) -> Quote:
            await meeting.wait()
            return await price(request)

        venue.on_quote = meet
        return venue

    routing = await router(meets(ScriptedVenue("a", CLOCK)), meets(ScriptedVenue("b", CLOCK))).route(SELL_ONE_SOL, FAR)
    assert len(routing.ranking) == 2


async def test_a_hanging_venue_only_costs_the_time_until_the_deadline() -> None:
    hanging = ScriptedVenue("hanging", CLOCK)
    good = ScriptedVenue("good", CLOCK)
    hanging.on_quote = forever
    routing = await router(hanging, good, timeout_ms=30).route(SELL_ONE_SOL, FAR)
    assert [quote.venue for quote in routing.ranking] == ["good"]
    assert [(a.venue, a.code) for a in routing.answers if a.quote is None] == [("hanging", "timeout")]


async def test_a_venue_that_ignores_its_cancellation_delays_no_other() -> None:
    stubborn = ScriptedVenue("stubborn", CLOCK)
    good = ScriptedVenue("good", CLOCK)
    release = asyncio.Event()

    async def refuse(request: SwapRequest) -> Quote:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise NoRoute

    stubborn.on_quote = refuse
    routing = await router(stubborn, good, timeout_ms=30).route(SELL_ONE_SOL, FAR)
    assert [quote.venue for quote in routing.ranking] == ["good"]
    release.set()


async def test_the_orders_own_deadline_counts_when_it_is_nearer() -> None:
    hanging = ScriptedVenue("hanging", CLOCK)
    hanging.on_quote = forever
    async with asyncio.timeout(20):
        routing = await router(hanging, timeout_ms=60_000).route(SELL_ONE_SOL, CLOCK.monotonic() + 0.02)
    assert routing.ranking == ()


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (NoRoute("no pool"), "no-route", True),
        (RateLimited("slow down"), "rate-limited", True),
        (ZeroDivisionError("a bug"), "bad-answer", True),
        (TimeoutError(), "bad-answer", True),
    ],
)
async def test_a_failing_venue_is_reported_by_its_code_and_a_bug_never_escapes(
    error: Exception, code: str, retryable: bool
) -> None:
    bad = ScriptedVenue("bad", CLOCK)
    good = ScriptedVenue("good", CLOCK)
    bad.on_quote = raising(error)
    routing = await router(bad, good).route(SELL_ONE_SOL, FAR)
    (answer,) = (a for a in routing.answers if a.venue == "bad")
    assert (answer.code, answer.retryable) == (code, retryable)
    assert len(routing.ranking) == 1
    assert "ZeroDivision" not in answer.detail


async def test_a_venue_without_the_mode_gets_no_request() -> None:
    venue = ScriptedVenue("exact-in-only", CLOCK)
    venue.capabilities = Capabilities(frozenset({Mode.EXACT_IN}))
    routing = await router(venue).route(BUY_ONE_SOL, FAR)
    assert venue.asked == 0
    assert routing.answers[0].code == "unsupported"
    assert not routing.answers[0].retryable


async def test_a_venue_that_keeps_failing_rests_and_its_cause_is_shown_until_it_is_used_again() -> None:
    clock = ManualClock()
    venue = ScriptedVenue("flaky", clock)
    price = venue.on_quote
    venue.on_quote = raising(RateLimited("slow down"))
    asking = router(venue, failures=3, seconds=5, clock=clock)
    for _ in range(5):
        routing = await asking.route(SELL_ONE_SOL, FAR)
    assert venue.asked == 3
    assert (routing.answers[0].code, routing.breakers_open_ms) == ("rate-limited", 5_000)
    assert routing.answers[0].detail == "slow down (skipped for another 5.0 s)"
    venue.on_quote = price
    clock.advance(5)
    assert (await asking.route(SELL_ONE_SOL, FAR)).ranking
    assert (await asking.route(SELL_ONE_SOL, FAR)).breakers_open_ms is None


async def test_a_round_is_not_delayed_while_one_breaker_is_closed() -> None:
    flaky, dry, unable = (ScriptedVenue(name, CLOCK) for name in ("flaky", "dry", "unable"))
    flaky.on_quote = raising(RateLimited("slow down"))
    dry.on_quote = raising(NoRoute("dry"))
    unable.capabilities = Capabilities(frozenset({Mode.EXACT_OUT}))
    asking = router(flaky, dry, unable, failures=1)
    await asking.route(SELL_ONE_SOL, FAR)
    assert (await asking.route(SELL_ONE_SOL, FAR)).breakers_open_ms is None
    alone = router(flaky, unable, failures=1)
    await alone.route(SELL_ONE_SOL, FAR)
    assert (await alone.route(SELL_ONE_SOL, FAR)).breakers_open_ms is not None


async def test_promise_17_trouble_of_the_shared_node_never_opens_a_venues_breaker() -> None:
    venue = ScriptedVenue("v", CLOCK)
    venue.on_quote = raising(Unreachable("the node is away", shared=True))
    asking = router(venue, failures=2)
    for _ in range(6):
        routing = await asking.route(SELL_ONE_SOL, FAR)
    assert (venue.asked, routing.answers[0].code) == (6, "unreachable")


async def test_promise_17_time_outs_count_against_a_venue_only_when_another_one_answers() -> None:
    one = ScriptedVenue("one", CLOCK)
    other = ScriptedVenue("other", CLOCK)
    price = other.on_quote
    one.on_quote = raising(Timeout("slow"))
    other.on_quote = raising(Timeout("slow"))
    asking = router(one, other, failures=2)
    for _ in range(4):
        await asking.route(SELL_ONE_SOL, FAR)
    assert (one.asked, other.asked) == (4, 4)
    other.on_quote = price
    for _ in range(4):
        routing = await asking.route(SELL_ONE_SOL, FAR)
    assert (one.asked, other.asked) == (6, 8)
    assert routing.answers[0].code == "timeout"


async def test_promise_17_a_venue_that_waits_in_vain_for_a_node_that_refuses_another_one_is_not_blamed() -> None:
    one = ScriptedVenue("one", CLOCK)
    other = ScriptedVenue("other", CLOCK)
    one.on_quote = forever
    other.on_quote = raising(RateLimited("the node is busy", shared=True))
    asking = router(one, other, timeout_ms=10, failures=1)
    for _ in range(3):
        routing = await asking.route(SELL_ONE_SOL, FAR)
    assert [answer.code for answer in routing.answers] == ["timeout", "rate-limited"]
    assert (one.asked, other.asked) == (3, 3)


async def test_promise_17_a_question_that_the_orders_own_deadline_cuts_short_is_no_failure_of_the_venue() -> None:
    venue = ScriptedVenue("slow", CLOCK)
    quick = ScriptedVenue("quick", CLOCK)
    venue.on_quote = forever
    asking = router(venue, quick, timeout_ms=60_000, failures=1)
    for _ in range(3):
        routing = await asking.route(SELL_ONE_SOL, CLOCK.monotonic() + 0.01)
    assert (venue.asked, routing.answers[0].code) == (3, FailureReason.DEADLINE)


async def test_a_question_that_is_given_up_from_outside_leaves_the_breaker_as_it_was() -> None:
    clock = ManualClock()
    venue = ScriptedVenue("v", clock)
    asking = router(venue, failures=1, seconds=5, clock=clock)
    venue.on_quote = raising(RateLimited("slow down"))
    await asking.route(SELL_ONE_SOL, FAR)
    clock.advance(5)
    venue.on_quote = forever
    cancelled = asyncio.create_task(asking.route(SELL_ONE_SOL, FAR))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    venue.on_quote = venue._price
    assert (await asking.route(SELL_ONE_SOL, FAR)).ranking


async def test_having_no_route_does_not_count_against_a_venue() -> None:
    venue = ScriptedVenue("thin", CLOCK)
    venue.on_quote = raising(NoRoute("no pool"))
    asking = router(venue, failures=2)
    for _ in range(6):
        await asking.route(SELL_ONE_SOL, FAR)
    assert venue.asked == 6


NUL_AND_WORSE = "a\0b\ud800c\x1b[31m\nd" + "on and " * 2_000


class Unprintable(NoRoute):
    """An error whose words cannot be had."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Panic(BaseException):
    """As the panics of libraries in Rust are: no `Exception`."""


class Panicky(NoRoute):
    """An error of which everything panics."""

    __module__ = 7  # type: ignore[assignment]

    def __str__(self) -> str:
        raise Panic

    @property
    def shared(self) -> bool:
        raise Panic


class Homemade(RateLimited):
    """Errors as adapters write them: without the base's `__init__`, with an invalid code."""

    code = "Too Many!\0"
    retryable = "yes"  # type: ignore[assignment]

    def __init__(self, pool: str) -> None:
        self.pool = pool


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (Unprintable(), "no-route", "(cannot be printed)"),
        (Homemade("x"), "rate-limited", "x"),
        (NoRoute("a\0b\ud800c\x1b[31m\nd"), "no-route", "a\ufffdb\ufffdc\ufffd[31m d"),
        (SystemExit(3), "bad-answer", "the adapter failed"),
        (asyncio.CancelledError(), "bad-answer", "the adapter gave up"),
        (RecursionError(), "bad-answer", "the adapter failed"),
        (Panic(), "bad-answer", "the adapter failed"),
        (BaseExceptionGroup("of a task group", [Panic()]), "bad-answer", "the adapter failed"),
        (GeneratorExit(), "bad-answer", "the adapter failed"),
        (Panicky(), "no-route", "(cannot be printed)"),
    ],
    ids=[
        "unprintable",
        "homemade",
        "dirty",
        "exit",
        "cancelled",
        "recursion",
        "panic",
        "group",
        "generator",
        "panicky",
    ],
)
async def test_any_exception_of_a_venue_loses_the_round_for_itself_alone(
    error: BaseException, code: str, detail: str
) -> None:
    bad = ScriptedVenue("bad", CLOCK)
    good = ScriptedVenue("good", CLOCK)
    bad.on_quote = raising(error)
    routing = await router(bad, good).route(SELL_ONE_SOL, FAR)
    assert [quote.venue for quote in routing.ranking] == ["good"]
    assert (routing.answers[0].code, routing.answers[0].detail) == (code, detail)


async def test_words_without_an_end_are_cut() -> None:
    venue = ScriptedVenue("v", CLOCK)
    venue.on_quote = raising(NoRoute(NUL_AND_WORSE))
    [answer] = (await router(venue).route(SELL_ONE_SOL, FAR)).answers
    assert len(answer.detail) == LONGEST


@pytest.mark.parametrize("error", [KeyError("x"), Panic()], ids=repr)
async def test_a_venue_whose_refusal_is_invalid_loses_the_round_for_itself_alone(error: BaseException) -> None:
    class Puzzle:
        def refusal(self, request: SwapRequest) -> str | None:
            raise error

    bad = ScriptedVenue("bad", CLOCK)
    good = ScriptedVenue("good", CLOCK)
    bad.capabilities = Puzzle()  # type: ignore[assignment]
    routing = await router(bad, good).route(SELL_ONE_SOL, FAR)
    assert (bad.asked, [quote.venue for quote in routing.ranking]) == (0, ["good"])


async def _no(_: SwapRequest) -> str:
    return "no"


@pytest.mark.parametrize("refusal", [_no, lambda _: 7, lambda _: True, lambda _: ["no"]])
async def test_a_refusal_of_another_type_is_a_bad_answer_with_the_cause(refusal: Any) -> None:
    class Coroutines:
        def refusal(self, request: SwapRequest) -> Any:
            return refusal(request)

    bad = ScriptedVenue("bad", CLOCK)
    good = ScriptedVenue("good", CLOCK)
    bad.capabilities = Coroutines()  # type: ignore[assignment]
    routing = await router(bad, good).route(SELL_ONE_SOL, FAR)
    assert (bad.asked, [quote.venue for quote in routing.ranking]) == (0, ["good"])
    assert (routing.answers[0].code, routing.answers[0].retryable) == ("bad-answer", True)
    assert "capabilities.refusal returned a" in routing.answers[0].detail


@pytest.mark.parametrize("error", [Timeout("no answer in time"), Unreachable("the connection was given up")])
async def test_promise_17_an_error_of_a_venue_at_the_orders_deadline_never_opens_its_breaker(
    error: VenueError,
) -> None:
    """A punctual venue reports by itself that it ran out of the given time."""
    clock = ManualClock()
    slow = ScriptedVenue("slow", clock)
    quick = ScriptedVenue("quick", clock)
    slow.on_quote = raising(error)
    asking = router(slow, quick, failures=2, clock=clock)
    for _ in range(10):
        routing = await asking.route(SELL_ONE_SOL, clock.monotonic() + 0.5)
        assert (routing.answers[0].code, routing.answers[0].breaker_open_seconds) == (FailureReason.DEADLINE, None)
        assert str(error) in routing.answers[0].detail
    assert slow.asked == 10
    for _ in range(3):
        routing = await asking.route(SELL_ONE_SOL, FAR)
    assert (routing.answers[0].code, slow.asked) == (error.code, 12), "with time enough it is the venue's failure"


async def test_a_venue_that_spoils_its_request_spoils_it_for_itself_alone() -> None:
    bad = ScriptedVenue("bad", CLOCK)
    good = ScriptedVenue("good", CLOCK)

    async def spoil(request: SwapRequest) -> Quote:
        object.__setattr__(request, "amount", 1)
        object.__setattr__(request, "slippage_bps", 5_000)
        return quote_of("bad", request, 999_000_000)

    bad.on_quote = spoil
    request = replace(SELL_ONE_SOL)
    routing = await router(bad, good).route(request, FAR)
    assert request == SELL_ONE_SOL
    assert [(quote.venue, quote.request) for quote in routing.ranking] == [("good", SELL_ONE_SOL)]


async def test_a_quote_that_changes_after_the_check_has_no_effect() -> None:
    venue = ScriptedVenue("v", CLOCK)
    given = quote_of("v", SELL_ONE_SOL, 150_000_000)

    async def price(_: SwapRequest) -> Quote:
        return given

    venue.on_quote = price
    [ranked] = (await router(venue).route(SELL_ONE_SOL, FAR)).ranking
    object.__setattr__(given, "min_out", 1)
    assert ranked.min_out == 149_250_000


def test_the_network_fee_decides_between_equal_prices_and_can_outweigh_a_better_one() -> None:
    cheap = quote_of("cheap", SELL_ONE_SOL, 150_000_000, network_fee=5_000)
    dear = quote_of("dear", SELL_ONE_SOL, 150_000_000, network_fee=9_000)
    assert [q.venue for q in rank([dear, cheap])] == ["cheap", "dear"]
    better_but_dear = replace(dear, amount_out=150_000_001, network_fee=1_000_000)
    assert [q.venue for q in rank([better_but_dear, cheap])] == ["cheap", "dear"]


def test_the_network_fee_is_converted_to_the_ranked_token() -> None:
    # 5,000 lamports are 750 base units of USDC at 150 USDC per SOL, rounded up.
    assert net_amount(quote_of("v", SELL_ONE_SOL, 150_000_000)) == 150_000_000 - 750
    assert net_amount(quote_of("v", BUY_ONE_SOL, 150_000_000)) == 150_000_000 + 750
    spend_usdc = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=150_000_000, mode=Mode.EXACT_IN, slippage_bps=0)
    assert net_amount(quote_of("v", spend_usdc, 1_000_000_000)) == 1_000_000_000 - 5_000


def test_a_pair_without_sol_is_ranked_by_its_amounts_alone() -> None:
    request = SwapRequest(mint_in=USDC, mint_out="x" * 40, amount=100, mode=Mode.EXACT_IN, slippage_bps=0)
    assert net_amount(quote_of("v", request, 77, network_fee=10**9)) == 77


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=8), st.sampled_from([SELL_ONE_SOL, BUY_ONE_SOL]))
def test_the_ranking_is_a_permutation_sorted_for_the_client(amounts: list[int], request: SwapRequest) -> None:
    quotes = [quote_of(f"v{n}", request, amount) for n, amount in enumerate(amounts)]
    ranking = rank(quotes)
    assert sorted(q.venue for q in ranking) == sorted(q.venue for q in quotes)
    nets = [net_amount(q) for q in ranking]
    assert nets == sorted(nets, reverse=request.mode is Mode.EXACT_IN)


async def test_the_trouble_of_a_worker_is_that_every_venue_is_skipped() -> None:
    clock = ManualClock()
    venues = [ScriptedVenue(name, clock) for name in "ab"]
    for venue in venues:
        venue.on_quote = raising(VenueError("down"))
    asking = router(*venues, failures=1, seconds=5, clock=clock)
    assert asking.trouble() == ""
    await asking.route(SELL_ONE_SOL, FAR)
    assert asking.trouble() == "every venue is skipped after failures: a (venue-error), b (venue-error)"
    assert set(asking.breaker_states().values()) == {"open"}
    clock.advance(5)
    assert set(asking.breaker_states().values()) == {"half-open"}
    assert asking.trouble(), "one order may try the venue, and the others wait"
