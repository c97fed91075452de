"""The contract of reference prices, for every installed one; on Solana with the accounts of a test."""

from fractions import Fraction
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.reference import AnyReference, ReferencePrice
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable
from dexexec.venues import references
from dexexec_adapters.mock.market import Market
from tests.support.pyth_accounts import PriceChain

OTHER = Token("4" * 43, "OTH", 5)
STRANGER = "5" * 43


def opened(name: str, clock: ManualClock, **environ: str) -> AnyReference:
    return references.create(references.load(name), environ, clock, Tokens((*KNOWN, OTHER)), {"solana": PriceChain()})


@pytest.fixture(params=sorted(point.name for point in entry_points(group=references.GROUP)))
def reference(request: pytest.FixtureRequest) -> AnyReference:
    return opened(request.param, ManualClock())


async def price(reference: AnyReference, mint_in: str, mint_out: str) -> ReferencePrice:
    found = await reference.price(mint_in, mint_out)
    assert found is not None
    return found


async def test_a_price_is_an_exact_positive_rate_with_the_time_of_its_observation(reference: AnyReference) -> None:
    await reference.prepare()
    found = await price(reference, WSOL, USDC)
    assert isinstance(found.rate, Fraction)
    assert found.rate > 0
    assert found.at_ms <= reference.context.clock.unix_ms()
    await reference.aclose()


async def test_the_price_of_the_other_direction_is_the_inverse(reference: AnyReference) -> None:
    there, back = await price(reference, WSOL, USDC), await price(reference, USDC, WSOL)
    assert there.rate * back.rate == 1


async def test_a_pair_without_a_price_is_none(reference: AnyReference) -> None:
    assert await reference.price(WSOL, STRANGER) is None
    assert await reference.price(STRANGER, WSOL) is None
    assert await reference.price(WSOL, WSOL) is None


async def test_the_mock_market_is_the_common_price_of_the_mock_venues() -> None:
    clock = ManualClock()
    reference = opened("mock-market", clock, DEXEXEC_MOCK_SEED="7")
    market = Market(7, "any", Tokens((*KNOWN, OTHER)).get, 20_000, 0)
    for mints in ((WSOL, USDC), (WSOL, OTHER.mint), (OTHER.mint, USDC)):
        pair = market.pair(mints)
        expected = market.price(pair, clock.unix_ms() // 1_000)
        found = await price(reference, pair.base.mint, pair.quote.mint)
        assert found.rate == Fraction(expected.numerator, expected.denominator)


async def test_the_mock_market_can_be_moved_beside_the_venues(tmp_path: Path) -> None:
    path = tmp_path / "reference"
    reference = opened("mock-market", ManualClock(), DEXEXEC_MOCK_REFERENCE_FILE=str(path))
    usual = (await price(reference, WSOL, USDC)).rate
    path.write_text("1.5")
    assert (await price(reference, WSOL, USDC)).rate == usual * Fraction(3, 2)
    path.write_text("no number")
    with pytest.raises(Unreachable):
        await reference.price(WSOL, USDC)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("mock-markt", "did you mean mock-market?"),
        ("zzz", "installed are mock-market"),
        ("no.such.module:Reference", "cannot be loaded: ModuleNotFoundError"),
        ("dexexec.reference:Missing", "cannot be loaded: AttributeError"),
        ("json:dumps", "is not a reference price"),
        ("dexexec.reference:PriceReference", "needs a `name`"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error_with_the_remedy(name: str, problem: str) -> None:
    with pytest.raises(AdapterLoadError, match=problem.replace("?", r"\?")):
        references.load(name)


def test_an_invalid_option_names_its_variable() -> None:
    with pytest.raises(AdapterLoadError, match="DEXEXEC_MOCK_SEED"):
        opened("mock-market", ManualClock(), DEXEXEC_MOCK_SEED="minus one")


def test_the_variables_of_references_are_settings() -> None:
    assert "DEXEXEC_MOCK_REFERENCE_FILE" in references.option_names({})
