"""The reference price `mock-market`: the common price of the mock venues, without the distance of any venue from it."""

from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field

from dexexec.reference import PriceReference, ReferenceContext, ReferencePrice
from dexexec.venue import Unsupported
from dexexec_adapters.mock.market import STEP_MS, Market
from dexexec_adapters.mock.price_multiple import PPM, PriceMultiple


class MockMarketOptions(BaseModel):
    """Those of the mock venues that make their prices, and how far this one is from them."""

    model_config = ConfigDict(frozen=True)

    seed: int = Field(1, ge=0, le=2**63 - 1, description="seed of the mock venues' prices and chances")
    drift_ppm: int = Field(
        20_000,
        ge=0,
        le=200_000,
        description="largest distance of a token's price from its reference (ppm); not on a localnet",
    )
    price_file: str = Field(
        "", description="file with a number by which all mock prices are multiplied; not on a localnet"
    )
    reference_file: str = Field(
        "", description="file with a number by which `mock-market` differs from the mock prices"
    )


class MockMarket(PriceReference[MockMarketOptions]):
    """The mocks' market as a reference. Mocks that settle on a localnet have prices of their own."""

    name = "mock-market"
    Options = MockMarketOptions
    options_prefix = "DEXEXEC_MOCK_"

    def __init__(self, context: ReferenceContext[MockMarketOptions]) -> None:
        super().__init__(context)
        options = context.options
        self._market = Market(options.seed, self.name, context.tokens.get, options.drift_ppm, offset_ppm=0)
        self._multiple = PriceMultiple(options.price_file)
        self._difference = PriceMultiple(options.reference_file)

    async def price(self, mint_in: str, mint_out: str) -> ReferencePrice | None:
        """The market's price now. Raises `Unreachable` for an unreadable file."""
        try:
            pair = self._market.pair((mint_in, mint_out))
        except Unsupported:
            return None  # a token that is not configured
        now_ms = self.context.clock.unix_ms()
        self._market.multiple_ppm = self._multiple.read_ppm() * self._difference.read_ppm() // PPM
        price = self._market.price(pair, now_ms // STEP_MS)
        rate = Fraction(price.numerator, price.denominator)
        return ReferencePrice(rate=rate if mint_in == pair.base.mint else 1 / rate, at_ms=now_ms)
