"""A number in a file moves the mock prices, at once and for all pairs."""

from fractions import Fraction
from pathlib import Path

import pytest

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable, VenueContext
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from dexexec_adapters.mock.venue import MockOptions

SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=0)


def replace_text(path: Path, text: str) -> None:
    """Another file in its place, as a test that runs beside the service must write it."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


@pytest.mark.parametrize("venue_class", [MockRaydium, MockMeteora])
async def test_the_number_multiplies_the_price_at_once(
    venue_class: type[MockRaydium] | type[MockMeteora], tmp_path: Path
) -> None:
    path = tmp_path / "price"
    clock = ManualClock()
    options = MockOptions(latency_ms=0, drift_ppm=0, offset_ppm=0, price_file=str(path))
    venue = venue_class(VenueContext(clock, Tokens(KNOWN), SimulatedChain(MemoryLedger(clock)), options))

    async def price() -> Fraction:
        return (await venue.quote(SELL, clock.monotonic() + 1)).price

    usual = await price()
    replace_text(path, "1.1\n")
    assert float(await price() / usual) == pytest.approx(1.1, rel=1e-3)
    replace_text(path, "0.5")
    assert float(await price() / usual) == pytest.approx(0.5, rel=1e-3)
    path.unlink()
    assert await price() == usual


@pytest.mark.parametrize("text", ["", "one", "NaN", "inf", "-1", "0", "0.001", "101", "1e9"])
async def test_a_file_without_a_usable_number_is_an_error_of_the_venue(text: str, tmp_path: Path) -> None:
    path = tmp_path / "price"
    path.write_text(text)
    clock = ManualClock()
    options = MockOptions(latency_ms=0, price_file=str(path))
    venue = MockRaydium(VenueContext(clock, Tokens(KNOWN), SimulatedChain(MemoryLedger(clock)), options))
    with pytest.raises(Unreachable, match=r"no number from 0\.01 to 100"):
        await venue.quote(SELL, clock.monotonic() + 1)
