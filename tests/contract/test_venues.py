"""Every adapter of this repository keeps the contract, and the report shows it."""

import io
from dataclasses import replace
from typing import Any

import pytest

from dexexec.cli.adapter_report import check_adapter, list_adapters
from dexexec.config.settings import Settings
from dexexec.domain import base58
from dexexec.domain.quote import Mode
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens
from dexexec.errors import AdapterLoadError, StartupError
from dexexec.testing.contract import CHECKS, Check, Verdict, report
from dexexec.testing.harness import Harness, NotApplicable
from dexexec.venue import Capabilities, Network, Venue
from dexexec.venues.registry import installed, load
from dexexec_adapters.jupiter.venue import Jupiter
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.pumpswap.venue import PumpSwap
from dexexec_adapters.raydium.venue import Raydium
from tests.support import pumpswap_accounts
from tests.support.jupiter_venues import JupiterHarness, PatientJupiter
from tests.support.raydium_accounts import address
from tests.support.recorded_venues import RECORDED, RecordedHarness

PEPE = Token(base58.encode(bytes([9]) * 32), "PEPE", 6)
VENUES: tuple[type[Venue[Any]], ...] = (MockRaydium, MockMeteora)
PAIRS = [(WSOL, USDC), (USDC, WSOL), (PEPE.mint, WSOL)]
KINDS = [(venue, kind) for venue, kinds in RECORDED.items() for kind in kinds]
SENDING = {"fill-equals-quote", "bounds-hold-on-chain"}
"""The rules that send swaps."""
NOT_OF_JUPITER = {"modes-agree", "reported-pools-are-true"}
"""It has one mode, and reports no pools."""
OF_ONE_MODE = SENDING | {"modes-agree"}
EXACT_INPUTS = {"deadline-is-obeyed", "only-known-errors-escape", "reported-pools-are-true", "expired-quote-is-refused"}
"""The rules that need quotes for an exact input."""

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
each_venue = pytest.mark.parametrize("venue_class", VENUES, ids=lambda venue: venue.name)


@each_check
@each_venue
@pytest.mark.parametrize("pair", PAIRS, ids=["sell", "buy", "other"])
async def test_the_venue_keeps_the_rule(check: Check, venue_class: type[Venue[Any]], pair: tuple[str, str]) -> None:
    await check(Harness(venue_class, tokens=Tokens((*KNOWN, PEPE)), pair=pair))


@pytest.mark.parametrize("check", [one for one in CHECKS if one.rule not in SENDING], ids=lambda check: check.rule)
@pytest.mark.parametrize(("venue_class", "kind"), KINDS, ids=lambda one: getattr(one, "name", one))
@pytest.mark.parametrize("pair", PAIRS[:2], ids=["sell", "buy"])
async def test_the_venue_keeps_the_rule_on_recorded_pools(
    check: Check, venue_class: type[Venue[Any]], kind: str, pair: tuple[str, str]
) -> None:
    await check(RecordedHarness(venue_class, pair=pair, chain=RECORDED[venue_class][kind]))


@pytest.mark.parametrize(("venue_class", "kind"), KINDS, ids=lambda one: getattr(one, "name", one))
async def test_on_recorded_pools_only_rules_that_send_swaps_are_skipped(
    venue_class: type[Venue[Any]], kind: str
) -> None:
    results = await report(RecordedHarness(venue_class, chain=RECORDED[venue_class][kind]))
    assert {one.rule for one in results if one.verdict is Verdict.SKIPPED} == SENDING
    assert {one.rule for one in results if one.verdict is Verdict.FAIL} == set()


@pytest.mark.parametrize(
    "check", [one for one in CHECKS if one.rule not in SENDING | NOT_OF_JUPITER], ids=lambda check: check.rule
)
@pytest.mark.parametrize("pair", PAIRS[:2], ids=["sell", "buy"])
async def test_jupiter_keeps_the_rule_with_a_server_over_recorded_pools(check: Check, pair: tuple[str, str]) -> None:
    await check(JupiterHarness(PatientJupiter, pair=pair))


class Sales(PumpSwap):
    """What `pumpswap` does with a pool's base token as the input."""

    capabilities = replace(PumpSwap.capabilities, modes=frozenset({Mode.EXACT_IN}))


class Purchases(PumpSwap):
    """And with the base token as the output."""

    capabilities = replace(PumpSwap.capabilities, modes=frozenset({Mode.EXACT_OUT}))


@pytest.mark.parametrize(
    ("venue_class", "pair", "check"),
    [
        *((Sales, (WSOL, USDC), check) for check in CHECKS if check.rule not in OF_ONE_MODE),
        *((Purchases, (USDC, WSOL), check) for check in CHECKS if check.rule not in OF_ONE_MODE | EXACT_INPUTS),
    ],
    ids=lambda one: getattr(one, "rule", getattr(one, "__name__", "")),
)
async def test_pumpswap_keeps_the_rule_in_the_mode_that_each_direction_has(
    venue_class: type[PumpSwap], pair: tuple[str, str], check: Check
) -> None:
    pool = pumpswap_accounts.pool_accounts(address(1), (10**13, 10**12), mints=(WSOL, USDC))
    await check(RecordedHarness(venue_class, pair=pair, chain=lambda: pumpswap_accounts.chain_of(pool)))


def test_no_adapter_of_this_repository_is_left_out() -> None:
    own = {point.name for point in installed().values() if point.value.startswith("dexexec_adapters.")}
    assert {Jupiter.name, PumpSwap.name, *(venue.name for venue in (*VENUES, *RECORDED))} == own


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


async def test_rules_that_need_real_money_are_skipped_and_reported() -> None:
    class OnMainnet(MockRaydium):
        name = "on-mainnet"
        capabilities = Capabilities(network=Network.SOLANA)

    results = {result.rule: result for result in await report(Harness(OnMainnet))}
    assert results["fill-equals-quote"].verdict is Verdict.SKIPPED
    assert "solana" in results["fill-equals-quote"].detail
    assert results["bounds-follow-slippage"].verdict is Verdict.OK
    with pytest.raises(NotApplicable):
        await next(check for check in CHECKS if check.rule == "fill-equals-quote")(Harness(OnMainnet))


def test_every_rule_has_a_text() -> None:
    assert len({check.rule for check in CHECKS}) == len(CHECKS)
    assert all(len(check.promise) > 30 for check in CHECKS)


# ---- on the command line -------------------------------------------------------------------------------------------


def test_check_prints_a_line_for_each_rule_and_is_content() -> None:
    out = io.StringIO()
    assert check_adapter("mock-raydium", {}, out=out) == 0
    lines = out.getvalue().splitlines()
    assert lines[0] == "mock-raydium (dexexec_adapters.mock.raydium:MockRaydium)"
    assert [line.split()[:2] for line in lines[1:-1]] == [["ok", check.rule] for check in CHECKS]
    assert lines[-1] == f"{len(CHECKS)} of {len(CHECKS)} rules kept, 0 broken, 0 not applicable"


def test_check_names_the_broken_rule_and_the_reason_and_fails() -> None:
    out = io.StringIO()
    assert check_adapter("tests.support.bad_venues:RoundsUp", {}, out=out) == 1
    [broken] = [line for line in out.getvalue().splitlines() if "FAIL" in line]
    assert broken.split()[:2] == ["FAIL", "fill-equals-quote"]
    assert "quoted" in broken
    assert "14 of 15 rules kept, 1 broken" in out.getvalue()


def test_check_of_an_unknown_adapter_names_the_known_ones() -> None:
    with pytest.raises(AdapterLoadError, match=f"installed are {', '.join(installed())};"):
        check_adapter("nobody", {}, out=io.StringIO())


def test_check_of_a_solana_adapter_names_the_missing_setting() -> None:
    for name in ("raydium", "devnet"):
        with pytest.raises(StartupError, match="set SOLANA_RPC_URL"):
            check_adapter(name, {}, Settings(_env_file=None, solana_rpc_url=None), io.StringIO())
    local = {"DEXEXEC_METEORA_CLUSTER": "localnet"}
    with pytest.raises(StartupError, match="set DEXEXEC_LOCALNET_URL"):
        check_adapter("meteora", local, Settings(_env_file=None, localnet_url=None), io.StringIO())


def test_list_shows_installed_and_enabled_adapters_with_their_variables() -> None:
    out = io.StringIO()
    assert list_adapters(["mock-meteora"], out) == 0
    rows = {line.split()[0]: line.split() for line in out.getvalue().splitlines() if line}
    assert rows["mock-meteora"][1:3] == ["yes", "simulated"]
    assert rows["mock-raydium"][1:3] == ["no", "simulated"]
    assert rows["raydium"][1:3] == rows["meteora"][1:3] == ["no", "solana"]
    assert {"DEXEXEC_MOCK_LATENCY_MS", "DEXEXEC_RAYDIUM_POOLS", "DEXEXEC_METEORA_POOLS"} <= rows.keys()
    assert rows["devnet"][1:4] == ["no", "raydium", "meteora"]


def test_list_shows_the_adapters_and_settings_of_a_preset() -> None:
    out = io.StringIO()
    assert list_adapters(["devnet", "mock-raydium"], out) == 0
    rows = {line.split()[0]: line.split() for line in out.getvalue().splitlines() if line}
    enabled = {
        name for name in ("devnet", "raydium", "meteora", "mock-raydium", "mock-meteora") if rows[name][1] == "yes"
    }
    assert enabled == {"devnet", "raydium", "meteora", "mock-raydium"}
    assert rows["devnet"][4:6] == ["DEXEXEC_RAYDIUM_CLUSTER=devnet", "DEXEXEC_METEORA_CLUSTER=devnet"]
    assert load(["devnet", "mock-raydium"]) == [Raydium, Meteora, MockRaydium]


def test_list_shows_an_enabled_adapter_that_cannot_be_loaded() -> None:
    out = io.StringIO()
    assert list_adapters(["mock-raydium", "no_such_package:X"], out) == 1
    assert "No module named 'no_such_package'" in out.getvalue()
    assert load(["mock-raydium"]) == [MockRaydium]
