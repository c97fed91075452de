"""The reference price `pyth`: the dollar prices of both tokens of a pair, read from their accounts in one request.

A price is as old as the older of the two. The accounts are updated when a price moves, and at the latest after about a
minute: DEXEXEC_ORACLE_MAX_AGE_MS has to allow for that.
"""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dexexec.domain.quote import BPS
from dexexec.domain.token import USDC, WSOL, Token, looks_like_mint
from dexexec.reference import PriceReference, ReferenceContext, ReferencePrice
from dexexec.venue import BadAnswer, Network, SolanaChain, Unsupported
from dexexec_adapters.pyth.layout import PUSH_ORACLE, PythPrice, feed_seeds, read_price

KNOWN_FEEDS = {
    WSOL: "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d",
    USDC: "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a",
}
_FEED = re.compile(r"(0x)?[0-9a-f]{64}")


def _split(value: object) -> object:
    """The feeds of a comma-separated setting. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    feeds = []
    for entry in filter(None, (part.strip() for part in value.split(","))):
        mint, _, feed = entry.partition("=")
        if not looks_like_mint(mint) or not _FEED.fullmatch(feed.lower()):
            raise ValueError("each feed must be MINT=FEED, with a base58 mint and 64 hexadecimal digits")
        feeds.append((mint, feed.lower().removeprefix("0x")))
    return tuple(feeds)


class PythOptions(BaseModel):
    """Settings of the reference."""

    model_config = ConfigDict(frozen=True)

    feeds: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_split)] = Field(
        (),
        description="Pyth feeds of more tokens, comma-separated, each `MINT=FEED` in hexadecimal digits; SOL and"
        " USDC are built in",
    )
    max_confidence_bps: int = Field(
        100, ge=1, le=10_000, description="how wide the confidence of a Pyth price may be, in bps of the price"
    )


class Pyth(PriceReference[PythOptions]):
    """Reads the accounts through the nodes of the enabled venues."""

    name = "pyth"
    Options = PythOptions
    options_prefix = "DEXEXEC_PYTH_"

    def __init__(self, context: ReferenceContext[PythOptions]) -> None:
        super().__init__(context)
        # Imported here, so that the name can be listed and described without a Solana library.
        from dexexec_adapters.solana.keys import derived  # noqa: PLC0415

        chain = context.chains.get(Network.SOLANA) or context.chains.get(Network.LOCALNET)
        if not isinstance(chain, SolanaChain):
            raise Unsupported("it reads accounts on Solana: enable a venue that settles there")
        self._chain = chain
        feeds = {**KNOWN_FEEDS, **dict(context.options.feeds)}
        self._feeds = {mint: bytes.fromhex(feed) for mint, feed in feeds.items()}
        self._addresses = {mint: derived(PUSH_ORACLE, *feed_seeds(feed)) for mint, feed in self._feeds.items()}

    async def price(self, mint_in: str, mint_out: str) -> ReferencePrice | None:
        """The ratio of the two dollar prices. Raises `BadAnswer` for an account that is no price of its feed, and the
        node's errors."""
        tokens = [self.context.tokens.get(mint) for mint in (mint_in, mint_out) if mint in self._feeds]
        known = [token for token in tokens if token is not None]
        if len(known) != 2 or mint_in == mint_out:
            return None
        addresses = [self._addresses[token.mint] for token in known]
        # In one answer: two requests could get the prices of two different moments.
        accounts = (await self._chain.accounts(addresses)).found
        prices = []
        for token, address, account in zip(known, addresses, accounts, strict=True):
            price = read_price(address, account, self._feeds[token.mint])
            if price.confidence * BPS > price.price * self.options.max_confidence_bps:
                spread = f"+-{price.confidence} of {price.price}"
                raise BadAnswer(f"the publishers of {token.symbol} are too far apart: {spread}")
            prices.append(price)
        rate = _per_base_unit(prices[0], known[0]) / _per_base_unit(prices[1], known[1])
        return ReferencePrice(rate=rate, at_ms=min(price.published_at_ms for price in prices))


def _per_base_unit(price: PythPrice, token: Token) -> Fraction:
    """Dollars per base unit."""
    return price.price * Fraction(10) ** (price.exponent - token.decimals)
