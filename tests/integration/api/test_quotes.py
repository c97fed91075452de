"""Quotes and venues over HTTP: what an order would get now, without one."""

import json
import math
from typing import Any

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import NoRoute, Unreachable
from tests.support.running_api import Service, document, running_service
from tests.support.scripted import ScriptedVenue, quote_of, raising

SOL = 10**9
REQUEST = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=SOL, mode=Mode.EXACT_IN, slippage_bps=50)


def venues(**prices: int) -> list[ScriptedVenue]:
    """Venues by name that pay so many base units of USDC for a SOL."""
    found = []
    for name, price in prices.items():
        venue = ScriptedVenue(name, SystemClock())

        async def quote(request: SwapRequest, name: str = name, price: int = price) -> Quote:
            return quote_of(name, request, request.amount * price // SOL)

        venue.on_quote = quote
        found.append(venue)
    return found


async def get(service: Service, path: str) -> dict[str, Any]:
    answer = await service.ask("GET", path)
    assert answer.code == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def test_every_venue_is_shown_with_the_one_that_an_order_would_use_and_by_how_much_it_leads() -> None:
    low, high = venues(low=150_000_000, high=151_500_000)
    async with running_service(venues=[low, high]) as service:
        found = await get(service, "/api/quote?amount=2")
        assert (found["side"], found["mode"], found["inputMint"], found["outputMint"]) == ("buy", "exactIn", WSOL, USDC)
        [size] = found["quotes"]
        assert (size["amount"], size["amountBase"], size["best"]) == ("2", str(2 * SOL), "high")
        assert size["aheadBps"] == "99.00"
        first, second = size["venues"]
        assert (first["venue"], first["selected"], first["amountOut"]) == ("high", True, "303000000")
        assert (second["venue"], second["reason"]) == ("low", "worse-price")
        assert {"price", "fee", "networkFee", "net", "priceImpactBps", "expiresInMs", "elapsedMs"} <= first.keys()
        assert service.queue.ids == [], "nothing is executed"


async def test_several_sizes_make_a_curve_in_the_order_of_the_request() -> None:
    async with running_service(venues=venues(a=150_000_000)) as service:
        found = await get(service, "/api/quote?amount=1,10,0.5&slippageBps=0")
        assert [size["amount"] for size in found["quotes"]] == ["1", "10", "0.5"]
        assert [size["venues"][0]["amountOut"] for size in found["quotes"]] == ["150000000", "1500000000", "75000000"]
        assert [size["aheadBps"] for size in found["quotes"]] == [None] * 3


async def test_a_venue_without_a_quote_is_shown_with_its_reason() -> None:
    [venue] = venues(a=1)
    venue.on_quote = raising(NoRoute("no pool"))
    async with running_service(venues=[venue]) as service:
        [size] = (await get(service, "/api/quote?amount=1"))["quotes"]
        assert (size["best"], size["venues"][0]["reason"], size["venues"][0]["detail"]) == (None, "no-route", "no pool")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "amount"),
        ("amount=", "amount"),
        ("amount=-1", "amount"),
        ("amount=1,x", "amount"),
        ("amount=" + ",".join("1" * 11), "amount"),
        ("amount=1&amount=2", "amount"),
        ("amount=1&mode=exact", "mode"),
        ("amount=1&inputMint=DOGE", "inputMint"),
        ("amount=1&slippageBps=many", "slippageBps"),
        ("amount=1&slippageBps=5001", "slippageBps"),
        ("amount=1&outputmint=x", "outputmint"),
        ("amount=1&deadlineSeconds=3", "deadlineSeconds"),
        (f"amount=1&inputMint={USDC}", "inputMint"),
        ("amount=%ff", "amount"),
    ],
)
async def test_a_bad_parameter_is_named_with_what_would_be_right(query: str, field: str) -> None:
    async with running_service(venues=venues(a=1)) as service:
        found = document(await service.ask("GET", f"/api/quote?{query}"), 400, "invalid-query")
        assert [problem["field"] for problem in found["errors"]] == [field]
        assert all(problem["expected"] for problem in found["errors"])


@pytest.mark.parametrize(
    ("value", "problem"), [("many", "is not an integer"), ("", "is not an integer"), ("9" * 30, "is out of range")]
)
async def test_an_integer_parameter_is_refused_for_what_is_wrong_with_it(value: str, problem: str) -> None:
    async with running_service(venues=venues(a=1)) as service:
        path = f"/api/quote?amount=1&slippageBps={value}"
        [found] = document(await service.ask("GET", path), 400, "invalid-query")["errors"]
        assert found == {"field": "slippageBps", "problem": problem, "expected": "an integer from 0 to 5000"}


async def test_the_answer_has_the_figures_of_endpoints_and_goes_without_them_while_postgres_is_away() -> None:
    async with running_service(venues=venues(a=1)) as service:
        assert (await get(service, "/api/venues"))["endpoints"] == []
        service.store.endpoints.append(
            EndpointFigures(
                endpoint="relay.example",
                send_only=True,
                attempts=3,
                accepted=2,
                landed=1,
                slots_p50=2,
                slots_p90=4,
                ms_p50=430,
                ms_p90=None,
            )
        )
        assert (await get(service, "/api/venues"))["endpoints"] == [
            {
                "endpoint": "relay.example", "sendOnly": True, "attempts": 3, "accepted": 2, "landed": 1,
                "landRate": 0.3333, "landingSlots": {"p50": 2, "p90": 4}, "landingMs": {"p50": 430, "p90": None},
            }
        ]  # fmt: skip
        service.store.switch.up = False
        found = await get(service, "/api/venues")
        assert (found["endpoints"], len(found["venues"])) == (None, 1)


async def test_venues_show_their_breakers_errors_times_and_share_of_wins() -> None:
    good, poor, down = venues(good=150_000_000, poor=149_000_000, down=1)
    down.on_quote = raising(Unreachable("no node"))
    async with running_service(venues=[good, poor, down], breaker_failures=2) as service:
        for _ in range(3):
            await service.orders_router.route(REQUEST, math.inf)
        found = {one["venue"]: one for one in (await get(service, "/api/venues"))["venues"]}
        assert list(found) == ["good", "poor", "down"]
        assert (found["good"]["answers"], found["good"]["winShare"], found["good"]["errorRate"]) == (3, 1.0, 0.0)
        assert (found["poor"]["winShare"], found["poor"]["breaker"]) == (0.0, "closed")
        assert (found["down"]["breaker"], found["down"]["lastError"], found["down"]["errorRate"]) == (
            "open",
            "unreachable",
            1.0,
        )
        assert found["down"]["breakerOpenMs"] > 0
        assert found["good"]["latencyMs"]["p50"] >= 0
        assert found["down"]["latencyMs"] == {"p50": None, "p99": None}
        assert (found["good"]["network"], found["good"]["modes"], found["good"]["pairs"]) == (
            "simulated", ["exactIn", "exactOut"], None,
        )  # fmt: skip


async def test_quotes_of_clients_open_no_breaker_that_orders_go_by_but_count_in_the_figures() -> None:
    good, down = venues(good=150_000_000, down=1)
    down.on_quote = raising(Unreachable("no node"))
    async with running_service(venues=[good, down], breaker_failures=2) as service:
        for _ in range(5):
            await get(service, "/api/quote?amount=1")
        found = {one["venue"]: one for one in (await get(service, "/api/venues"))["venues"]}
        assert (found["down"]["breaker"], found["down"]["answers"]) == ("closed", 5)


async def test_a_venue_that_orders_skip_now_is_shown_and_not_chosen() -> None:
    best, other = venues(best=151_000_000, other=150_000_000)
    quote = best.on_quote
    async with running_service(venues=[best, other], breaker_failures=1, breaker_seconds=600) as service:
        best.on_quote = raising(Unreachable("no node"))
        await service.orders_router.route(REQUEST, math.inf)
        best.on_quote = quote
        [size] = (await get(service, "/api/quote?amount=1"))["quotes"]
        assert size["best"] == "other"
        skipped = next(venue for venue in size["venues"] if venue["venue"] == "best")
        assert (skipped["amountOut"], skipped["reason"]) == ("151000000", "unreachable")
        assert skipped["detail"].startswith("orders skip this venue for another ")


async def test_dust_that_fees_take_whole_leads_by_nothing() -> None:
    async with running_service(venues=venues(a=150_000_000, b=149_000_000)) as service:
        [size] = (await get(service, "/api/quote?amount=0.00000001"))["quotes"]
        assert (size["aheadBps"], len(size["venues"])) == (None, 2)


async def test_the_list_of_venues_has_no_parameters() -> None:
    async with running_service(venues=venues(a=1)) as service:
        found = document(await service.ask("GET", "/api/venues?venue=a"), 400, "invalid-query")
        assert [problem["field"] for problem in found["errors"]] == ["venue"]
