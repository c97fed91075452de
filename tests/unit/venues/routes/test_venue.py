"""The venues `split` and `hops` over venues whose pools they combine, as the router and the worker use them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.bound import Bound
from dexexec.domain.depth import DeepVenue, PoolDepth, Stretch, sound
from dexexec.domain.quote import Leg, Mode, Quote, SwapRequest
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.observe.observer import Observer, make_logger
from dexexec.observe.untrusted_text import LONGEST_NAME
from dexexec.testing.clock import ManualClock
from dexexec.venue import (
    AnyVenue,
    BadAnswer,
    NoOptions,
    Unreachable,
    Unsupported,
    VenueContext,
    VenueError,
)
from dexexec.venues.quote_check import checked
from dexexec.venues.router import Router
from dexexec.venues.routes.venue import Hops, RouteRules, Routes, Split
from dexexec_adapters.curves.stretches import ranged
from tests.support.pool_depths import depth_of
from tests.support.raydium_accounts import RecordedChain
from tests.support.scripted import ScriptedVenue, quote_of

CLOCK = ManualClock()
FAR = 1e12
HOP = "HopMint"
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**11, mode=Mode.EXACT_IN, slippage_bps=50)
POOLS = [depth_of("one", 10**12, 10**12), depth_of("two", 10**12, 10**12)]

Shown = Callable[[SwapRequest], Sequence[PoolDepth]]


class DeepScripted(ScriptedVenue):
    """A venue that shows the pools that a test gives it."""

    def __init__(self, name: str, shown: Shown | VenueError) -> None:
        super().__init__(name, SystemClock())
        self._shown = shown

    async def depths(self, request: SwapRequest, deadline: float) -> Sequence[PoolDepth]:
        if isinstance(self._shown, VenueError):
            raise self._shown
        return [replace(depth, quote=self._as_own(depth)) for depth in self._shown(request)]

    def _as_own(self, depth: PoolDepth) -> Callable[[SwapRequest], Quote]:
        return lambda request: replace(depth.quote(request), venue=self.name)

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> SwapInstructions:  # type: ignore[override]
        return SwapInstructions((), blockhash, signers=(f"signer of {self.name}",), lookup_tables=("table", self.name))


def combining(kind: type[Routes], *venues: AnyVenue, hop: str = HOP, leg_lamports: int = 0) -> Routes:
    context = VenueContext(CLOCK, Tokens(KNOWN), RecordedChain({}), NoOptions(), "localnet")
    rules = RouteRules(hop_mints=(hop,), hop_tolerance_bps=5, leg_lamports=leg_lamports)
    return kind(context, venues, rules)


def direct_only(*pools: PoolDepth) -> Shown:
    return lambda request: pools if HOP not in (request.mint_in, request.mint_out) else ()


async def test_pools_of_several_venues_are_combined() -> None:
    one, two = DeepScripted("one-venue", direct_only(POOLS[0])), DeepScripted("two-venue", direct_only(POOLS[1]))
    quote = await combining(Split, one, two, leg_lamports=77).quote(SELL, FAR)
    assert {leg.venue for leg in quote.legs} == {"one-venue", "two-venue"}
    assert quote.network_fee == 5_077
    assert checked("split", SELL, quote, CLOCK.unix_ms(), combined=True).legs == quote.legs


async def test_a_better_way_through_another_token_is_taken() -> None:
    def shown(request: SwapRequest) -> Sequence[PoolDepth]:
        return [depth_of("bad", 10**12, 10**11)] if HOP not in (request.mint_in, request.mint_out) else POOLS

    quote = await combining(Hops, DeepScripted("deep", shown)).quote(SELL, FAR)
    assert quote.via == {HOP}
    assert [leg.mint_in for leg in quote.legs] == [WSOL, HOP]


async def test_a_token_of_the_pair_is_no_way_through() -> None:
    with pytest.raises(Unsupported):
        await combining(Hops, DeepScripted("deep", lambda _: POOLS), hop=USDC).quote(SELL, FAR)


async def test_a_venue_that_fails_leaves_the_others() -> None:
    broken = DeepScripted("broken", Unreachable("down"))
    quote = await combining(Split, broken, DeepScripted("deep", direct_only(*POOLS))).quote(SELL, FAR)
    assert {leg.venue for leg in quote.legs} == {"deep"}


@pytest.mark.parametrize("change", [{"amount_out": 0}, {"min_out": 2**63}, {"venue": "another"}, {"expires_at_ms": 1}])
async def test_a_part_with_a_false_quote_is_not_used(change: dict[str, Any]) -> None:
    class Lying(DeepScripted):
        def _as_own(self, depth: PoolDepth) -> Callable[[SwapRequest], Quote]:
            own = super()._as_own(depth)
            return lambda request: replace(own(request), **change)

    with pytest.raises(Unsupported):
        await combining(Split, Lying("lying", direct_only(*POOLS))).quote(SELL, FAR)


async def test_the_name_of_a_pool_can_be_stored() -> None:
    named = [replace(POOLS[0], pool="x\0" * 500), POOLS[1]]
    quote = await combining(Split, DeepScripted("deep", direct_only(*named))).quote(SELL, FAR)
    names = {leg.pool for leg in quote.legs}
    assert len(names) == 2
    assert all(name.isprintable() and len(name) <= LONGEST_NAME for name in names)


async def test_what_the_parts_need_to_be_signed_and_read_is_put_together() -> None:
    one, two = DeepScripted("one-venue", direct_only(POOLS[0])), DeepScripted("two-venue", direct_only(POOLS[1]))
    venue = combining(Split, one, two)
    built = await venue.build(await venue.quote(SELL, FAR), "Payer", Blockhash("hash", 1))
    assert isinstance(built, SwapInstructions)
    assert set(built.signers) == {"signer of one-venue", "signer of two-venue"}
    assert sorted(built.lookup_tables) == ["one-venue", "table", "two-venue"]


async def test_a_way_that_does_not_fit_into_a_transaction_is_not_quoted() -> None:
    def built(quote: Quote) -> str:
        [part, *_] = quote.legs
        return part.mint_out

    def shown(request: SwapRequest) -> Sequence[PoolDepth]:
        return POOLS

    deep = DeepScripted("deep", shown)
    context = VenueContext(CLOCK, Tokens(KNOWN), RecordedChain({}), NoOptions(), "localnet")
    rules = RouteRules(hop_mints=(HOP, "OtherHop"), hop_tolerance_bps=5, leg_lamports=0)
    seen: list[SwapInstructions] = []

    def second(swap: SwapInstructions, payer: str) -> bool:
        seen.append(swap)
        return len(seen) > 1

    first = await Hops(context, [deep], rules).quote(SELL, FAR)
    other = await Hops(context, [deep], rules, fits=second).quote(SELL, FAR)
    assert built(first) != built(other)
    with pytest.raises(Unsupported, match="too large"):
        await Hops(context, [deep], rules, fits=lambda *_: False).quote(SELL, FAR)


@pytest.mark.parametrize("mode", Mode)
async def test_what_is_built_keeps_the_bound_of_the_order_and_not_only_the_slippage(mode: Mode) -> None:
    built: list[Quote] = []

    class Noting(DeepScripted):
        async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> SwapInstructions:  # type: ignore[override]
            built.append(quote)
            return await super().build(quote, payer, blockhash)

    venue = combining(Split, Noting("deep", direct_only(*POOLS)))
    quote = await venue.quote(replace(SELL, mode=mode), FAR)
    bound = Bound(quote.amount_out - 3, quote.amount_in + (3 if mode is Mode.EXACT_OUT else 0))
    await venue.build(bound.tighten(quote), "Payer", Blockhash("hash", 1))
    assert len(built) == 2
    if mode is Mode.EXACT_IN:
        assert sum(part.min_out for part in built) == bound.min_out
    else:
        assert sum(part.max_in for part in built) == bound.max_in


async def test_a_quote_of_another_venue_is_not_built() -> None:
    with pytest.raises(Unsupported, match="cannot be built by split"):
        await combining(Split, DeepScripted("deep", direct_only())).build(
            quote_of("other", SELL, 1), "Payer", Blockhash("h", 1)
        )


def router(*venues: AnyVenue, combined: tuple[str, ...] = ()) -> Router:
    return Router(
        {venue.name: venue for venue in venues},
        CLOCK,
        Observer(make_logger("critical")),
        timeout_ms=2_000,
        breaker_failures=3,
        breaker_seconds=60,
        combined=combined,
    )


async def test_a_policy_that_leaves_out_one_of_the_venues_leaves_out_the_route() -> None:
    one, two = DeepScripted("one-venue", direct_only(POOLS[0])), DeepScripted("two-venue", direct_only(POOLS[1]))
    both = router(combining(Split, one, two), combined=("split",))
    allowed = await both.route(SELL, FAR, only={"split", "one-venue", "two-venue"})
    assert [quote.venue for quote in allowed.ranking] == ["split"]
    [answer] = (await both.route(SELL, FAR, only={"split", "one-venue"})).answers
    assert (answer.code, answer.detail) == ("policy", "the policy of the order's key does not allow two-venue")
    [answer] = (await both.route(SELL, FAR, only={"one-venue", "two-venue"})).answers
    assert answer.code == "policy"


async def test_an_adapter_cannot_open_other_tokens_of_the_wallet_by_naming_legs() -> None:
    venue = ScriptedVenue("cunning", CLOCK)
    price = venue.on_quote
    leg = Leg(venue="cunning", pool="p", mint_in=HOP, mint_out=HOP, amount_in=1, amount_out=1)

    async def with_legs(request: SwapRequest) -> Quote:
        return replace(await price(request), legs=(leg,))

    venue.on_quote = with_legs
    [quote] = (await router(venue, combined=("split",)).route(SELL, FAR)).ranking
    assert quote.legs == ()
    assert quote.via == frozenset()


def test_only_venues_that_show_their_depth_are_combined() -> None:
    deep = DeepScripted("deep", direct_only())
    assert isinstance(deep, DeepVenue)
    assert combining(Split, deep, ScriptedVenue("flat", CLOCK)).combines == ("deep",)


async def test_an_error_of_an_adapters_own_code_is_not_taken_for_an_empty_answer() -> None:
    def broken(request: SwapRequest) -> Sequence[PoolDepth]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await combining(Split, DeepScripted("deep", broken)).quote(SELL, FAR)
    [answer] = (
        await router(combining(Split, DeepScripted("deep", broken)), combined=("split",)).route(SELL, FAR)
    ).answers
    assert answer.code == BadAnswer.code


async def test_pools_of_a_quarantined_venue_are_left_out() -> None:
    deep = DeepScripted("deep", direct_only(*POOLS))
    context = VenueContext(CLOCK, Tokens(KNOWN), RecordedChain({}), NoOptions(), "localnet")
    rules = RouteRules(hop_mints=(), hop_tolerance_bps=5, leg_lamports=0)
    assert (await Split(context, [deep], rules).quote(SELL, FAR)).legs
    with pytest.raises(Unsupported):
        await Split(context, [deep], rules, lambda venue: f"{venue} was upgraded").quote(SELL, FAR)


async def test_venues_that_only_combine_do_not_hide_that_all_others_are_skipped() -> None:
    deep = DeepScripted("deep", direct_only())

    async def fail(request: SwapRequest) -> Quote:
        raise Unreachable("down")

    deep.on_quote = fail
    both = router(deep, combining(Split, deep), combined=("split",))
    for _ in range(3):
        routing = await both.route(SELL, FAR)
    assert both.trouble() == "every venue is skipped after failures: deep (unreachable)"
    routing = await both.route(SELL, FAR)
    assert routing.breakers_open_ms == pytest.approx(60_000, abs=1)


async def test_a_venue_that_hangs_does_not_take_the_others_with_it() -> None:
    class Hanging(DeepScripted):
        async def depths(self, request: SwapRequest, deadline: float) -> Sequence[PoolDepth]:
            await asyncio.Event().wait()
            return []

    venue = combining(Split, Hanging("hanging", direct_only()), DeepScripted("deep", direct_only(*POOLS)))
    quote = await venue.quote(SELL, CLOCK.monotonic() + 0.05)
    assert {leg.venue for leg in quote.legs} == {"deep"}


def test_a_range_whose_ends_are_the_same_float_does_not_leave_out_its_pool() -> None:
    # A price that is one unit of 2^-64 above a tick.
    assert sound((ranged(3 + 2**-64, 3.0, 1e12, kept_in=0.997), *POOLS[0].stretches))


@pytest.mark.parametrize(("seconds", "times"), [(0.2, 1), (0.01, 2)])
async def test_no_second_order_waits_for_a_venue_that_hangs_unless_the_first_had_no_time(
    seconds: float, times: int
) -> None:
    requested: list[SwapRequest] = []

    class Hanging(DeepScripted):
        async def depths(self, request: SwapRequest, deadline: float) -> Sequence[PoolDepth]:
            requested.append(request)
            await asyncio.Event().wait()
            return []

    venue = combining(Split, Hanging("hanging", direct_only()), DeepScripted("deep", direct_only(*POOLS)))
    for _ in range(2):
        quote = await venue.quote(SELL, CLOCK.monotonic() + seconds)
        assert {leg.venue for leg in quote.legs} == {"deep"}
    assert len(requested) == times


@pytest.mark.parametrize(
    "stretch",
    [
        Stretch(1.0, 0.5, inf, 1.0),
        Stretch(nan, nan, 0.0, 1.0),
        Stretch(0.5, 1.0, 1.0, 1.0),
        Stretch(1.0, -1.0, 1.0, 1.0),
        Stretch(0.0, 0.0, 0.0, 1.0),
        Stretch(1.0, 1.0, 0.0, inf),
        Stretch(1.0, 0.5, 0.0, 1.0),
    ],
)
async def test_a_pool_with_a_false_curve_is_not_divided_over(stretch: Stretch) -> None:
    false = replace(POOLS[0], pool="false", stretches=(stretch,))
    venue = combining(Split, DeepScripted("deep", direct_only(false, *POOLS)))
    assert {leg.pool for leg in (await venue.quote(SELL, FAR)).legs} == {"one", "two"}
