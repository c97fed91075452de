"""The mocks' pools of two real balances: the vaults can pay what the pools promise, and no trade empties them."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import Capabilities, Network, NoRoute, VenueContext
from dexexec.venues.registry import create
from dexexec_adapters.curves import damm_v2
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, SwapResult, TradeDirection
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions, MockVenue
from dexexec_adapters.solana import spl

VENUES = (MockRaydium, MockMeteora)
each_venue = pytest.mark.parametrize("venue_class", VENUES, ids=lambda venue: venue.name)
NOW = ChainTime(0, 0)
SELL = TradeDirection.A_TO_B
BUY = TradeDirection.B_TO_A

balances = st.integers(10**3, 10**18)
amounts = st.integers(1, 10**17)
modes = st.sampled_from(Mode)


def mock(venue_class: type[MockVenue[Any]]) -> MockVenue[Any]:
    clock = ManualClock()
    return venue_class(VenueContext(clock, Tokens(KNOWN), SimulatedChain(MemoryLedger(clock)), MockOptions()))


RAYDIUM, METEORA = (mock(venue_class) for venue_class in VENUES)
each_mock = pytest.mark.parametrize("venue", [RAYDIUM, METEORA], ids=lambda venue: venue.name)


def trade(
    venue: MockVenue[Any], base: int, quote: int, direction: TradeDirection, amount: int, mode: Mode
) -> SwapResult[Any] | None:
    """What a swap moves; None if the pool refuses."""
    mints = (WSOL, USDC) if direction is SELL else (USDC, WSOL)
    request = SwapRequest(mint_in=mints[0], mint_out=mints[1], amount=amount, mode=mode, slippage_bps=0)
    try:
        return venue.swap(venue.pool_of(base, quote, direction), request, direction, NOW)
    except (CurveError, NoRoute):
        return None


@each_mock
@given(base=balances, quote=balances, amount=amounts, mode=modes, direction=st.sampled_from([SELL, BUY]))
def test_the_vaults_can_pay_and_the_product_of_their_balances_grows(
    venue: MockVenue[Any], base: int, quote: int, amount: int, mode: Mode, direction: TradeDirection
) -> None:
    found = trade(venue, base, quote, direction, amount, mode)
    if found is None:
        return
    paid = found.amount_in
    received = found.amount_out
    after = (base + paid, quote - received) if direction is SELL else (base - received, quote + paid)
    assert min(after) > 0
    assert after[0] * after[1] >= base * quote


@each_mock
@given(base=balances, quote=balances, amount=amounts, direction=st.sampled_from([SELL, BUY]))
def test_there_and_back_never_gains(
    venue: MockVenue[Any], base: int, quote: int, amount: int, direction: TradeDirection
) -> None:
    there = trade(venue, base, quote, direction, amount, Mode.EXACT_IN)
    if there is None:
        return
    paid = there.amount_in
    received = there.amount_out
    if direction is SELL:
        back = trade(venue, base + paid, quote - received, BUY, received, Mode.EXACT_IN)
    else:
        back = trade(venue, base - received, quote + paid, SELL, received, Mode.EXACT_IN)
    assert back is None or back.amount_out < paid


@given(base=st.integers(10**9, 10**17), quote=st.integers(10**9, 10**17), direction=st.sampled_from([SELL, BUY]))
def test_a_meteora_pool_backs_all_its_liquidity_and_wastes_next_to_nothing(
    base: int, quote: int, direction: TradeDirection
) -> None:
    pool = METEORA.pool_of(base, quote, direction)
    backing = damm_v2.range_reserves(pool.liquidity, pool.sqrt_price, pool.sqrt_min_price, pool.sqrt_max_price)
    for backed, held in zip(backing, (base, quote), strict=True):
        assert held * 99_999 // 100_000 <= backed <= held


@each_mock
@pytest.mark.parametrize(("base", "quote"), [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("direction", [SELL, BUY])
def test_empty_vaults_give_no_route(venue: MockVenue[Any], base: int, quote: int, direction: TradeDirection) -> None:
    assert trade(venue, base, quote, direction, 10**6, Mode.EXACT_IN) is None


@pytest.mark.parametrize(("base", "quote"), [(U64_MAX, 1), (1, U64_MAX)])
@pytest.mark.parametrize("direction", [SELL, BUY])
def test_balances_whose_price_no_meteora_pool_has_give_no_route(
    base: int, quote: int, direction: TradeDirection
) -> None:
    with pytest.raises(NoRoute, match="too far apart"):
        METEORA.pool_of(base, quote, direction)


# ---- where it settles ----------------------------------------------------------------------------------------------


@each_venue
def test_the_network_follows_from_the_option(venue_class: type[MockVenue[Any]]) -> None:
    for settlement in (Network.SIMULATED, Network.LOCALNET):
        options = venue_class.read_options({"DEXEXEC_MOCK_SETTLEMENT": settlement})
        assert venue_class.network_for(options) == settlement
    assert venue_class.network_for(venue_class.read_options({})) == Network.SIMULATED
    assert mock(venue_class).capabilities == Capabilities(network=Network.SIMULATED, needs_wallet=False)


@each_venue
def test_another_settlement_than_these_stops_the_start_and_names_the_setting(
    venue_class: type[MockVenue[Any]],
) -> None:
    with pytest.raises(AdapterLoadError, match=r"DEXEXEC_MOCK_SETTLEMENT must be simulated or localnet, not 'mainnet'"):
        create([venue_class], {"DEXEXEC_MOCK_SETTLEMENT": "mainnet"}, ManualClock(), Tokens(KNOWN), {})


@each_venue
def test_a_chain_without_accounts_or_faucet_cannot_be_settled_on(venue_class: type[MockVenue[Any]]) -> None:
    clock = ManualClock()
    chains = {Network.LOCALNET: SimulatedChain(MemoryLedger(clock))}
    with pytest.raises(AdapterLoadError, match=r"does not start.*no accounts or no faucet"):
        create([venue_class], {"DEXEXEC_MOCK_SETTLEMENT": "localnet"}, clock, Tokens(KNOWN), chains)


def test_simulated_mocks_do_not_wait_for_a_solana_library() -> None:
    code = (
        "import sys; from dexexec.venues.registry import load; load(['mock-raydium', 'mock-meteora']);"
        " sys.exit('solders' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- accounts and failures -----------------------------------------------------------------------------------------


def test_only_a_token_account_has_an_amount() -> None:
    data = bytes(64) + (2**64 - 2).to_bytes(8, "little") + bytes(93)
    assert spl.token_amount(None) is None
    assert spl.token_amount(Account(spl.TOKEN, 1, data)) == 2**64 - 2
    for other in (Account(spl.SYSTEM, 1, data), Account(spl.TOKEN, 1, data[:82]), Account(spl.SYSTEM, 1, b"")):
        with pytest.raises(ValueError, match="not a token account"):
            spl.token_amount(other)
