"""Every adapter of this repository keeps the contract, and the report says so."""

import io
from typing import Any

import pytest

from adapters.mock_meteora import MockMeteora
from adapters.mock_raydium import MockRaydium
from dexexec.adapters_command import check_adapter, list_adapters
from dexexec.domain import base58
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.registry import installed, load
from dexexec.testing.contract import CHECKS, Check, Verdict, report
from dexexec.testing.harness import Harness, NotApplicable
from dexexec.venue import Capabilities, Network, Venue

PEPE = Token(base58.encode(bytes([9]) * 32), "PEPE", 6)
VENUES: tuple[type[Venue[Any]], ...] = (MockRaydium, MockMeteora)
PAIRS = [(WSOL, USDC), (USDC, WSOL), (PEPE.mint, WSOL)]

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
each_venue = pytest.mark.parametrize("venue_class", VENUES, ids=lambda venue: venue.name)


@each_check
@each_venue
@pytest.mark.parametrize("pair", PAIRS, ids=["sell", "buy", "other"])
async def test_the_venue_keeps_the_rule(check: Check, venue_class: type[Venue[Any]], pair: tuple[str, str]) -> None:
    await check(Harness(venue_class, tokens=Tokens((*KNOWN, PEPE)), pair=pair))


def test_no_adapter_of_this_repository_is_left_out() -> None:
    own = {point.name for point in installed().values() if point.value.startswith("adapters.")}
    assert {venue.name for venue in VENUES} == own


@each_venue
async def test_knobs_that_people_turn_do_not_break_the_contract(venue_class: type[Venue[Any]]) -> None:
    wild = {
        "DEXEXEC_MOCK_SETTLEMENT": "localnet",  # for the service; the contract is tried on the simulated chain
        "DEXEXEC_MOCK_SEED": "12345",
        "DEXEXEC_MOCK_FAILURE_RATE": "0.9",
        "DEXEXEC_MOCK_DROP_RATE": "1",
        "DEXEXEC_MOCK_LATENCY_MS": "5000",
        "DEXEXEC_MOCK_DRIFT_PPM": "200000",
        "DEXEXEC_MOCK_OFFSET_PPM": "100000",
        "DEXEXEC_MOCK_QUOTE_TTL_MS": "50",
    }
    results = await report(Harness(venue_class, wild))
    assert [result.rule for result in results if result.verdict is not Verdict.OK] == []


async def test_what_cannot_be_tried_without_real_money_is_skipped_and_said() -> None:
    class OnMainnet(MockRaydium):
        name = "on-mainnet"
        capabilities = Capabilities(network=Network.SOLANA)

    results = {result.rule: result for result in await report(Harness(OnMainnet))}
    assert results["fill-equals-quote"].verdict is Verdict.SKIPPED
    assert "solana" in results["fill-equals-quote"].detail
    assert results["bounds-follow-slippage"].verdict is Verdict.OK
    with pytest.raises(NotApplicable):
        await next(check for check in CHECKS if check.rule == "fill-equals-quote")(Harness(OnMainnet))


def test_every_rule_says_what_it_promises() -> None:
    assert len({check.rule for check in CHECKS}) == len(CHECKS)
    assert all(len(check.promise) > 30 for check in CHECKS)


# ---- on the command line -------------------------------------------------------------------------------------------


def test_check_prints_a_line_for_each_rule_and_is_content() -> None:
    out = io.StringIO()
    assert check_adapter("mock-raydium", {}, out=out) == 0
    lines = out.getvalue().splitlines()
    assert lines[0] == "mock-raydium (adapters.mock_raydium:MockRaydium)"
    assert [line.split()[:2] for line in lines[1:-1]] == [["ok", check.rule] for check in CHECKS]
    assert lines[-1] == f"{len(CHECKS)} of {len(CHECKS)} rules kept, 0 broken, 0 not applicable"


def test_check_says_which_rule_is_broken_and_why_and_is_not_content() -> None:
    out = io.StringIO()
    assert check_adapter("tests.contract.bad_venues:RoundsUp", {}, out=out) == 1
    [broken] = [line for line in out.getvalue().splitlines() if "FAIL" in line]
    assert broken.split()[:2] == ["FAIL", "fill-equals-quote"]
    assert "quoted" in broken
    assert "14 of 15 rules kept, 1 broken" in out.getvalue()


def test_check_of_an_unknown_adapter_names_the_known_ones() -> None:
    with pytest.raises(AdapterLoadError, match="known are mock-meteora, mock-raydium"):
        check_adapter("nobody", {}, out=io.StringIO())


def test_list_shows_what_is_installed_what_is_enabled_and_what_it_reads() -> None:
    out = io.StringIO()
    assert list_adapters(["mock-meteora"], out) == 0
    rows = {line.split()[0]: line.split() for line in out.getvalue().splitlines() if line}
    assert rows["mock-meteora"][1:3] == ["yes", "simulated"]
    assert rows["mock-raydium"][1:3] == ["no", "simulated"]
    assert "DEXEXEC_MOCK_LATENCY_MS" in rows


def test_list_tells_of_an_enabled_adapter_that_cannot_be_loaded() -> None:
    out = io.StringIO()
    assert list_adapters(["mock-raydium", "no_such_package:X"], out) == 1
    assert "No module named 'no_such_package'" in out.getvalue()
    assert load(["mock-raydium"]) == [MockRaydium]
