"""Acme: an example of a third-party adapter. It trades at one price, less a spread."""

import secrets

from pydantic import BaseModel, Field

from dexexec.domain.quote import Mode, Quote, SwapRequest, min_out
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import Blockhash, UnsignedSwap
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import Capabilities, Network, NoRoute, QuoteExpired, Unsupported, Venue

MOST_USDC = 1_000_000 * 10**6


class AcmeOptions(BaseModel):
    """Read from DEXEXEC_ACME_PRICE and DEXEXEC_ACME_SPREAD_BPS."""

    price: int = Field(149, ge=1, le=100_000, description="what Acme thinks a SOL is worth (USDC)")
    spread_bps: int = Field(10, ge=0, le=1_000, description="what Acme keeps (bps)")


class Acme(Venue[AcmeOptions]):
    """SOL for USDC, exact in, at a fixed price."""

    name = "acme"
    capabilities = Capabilities(frozenset({Mode.EXACT_IN}), frozenset({frozenset({WSOL, USDC})}), Network.SIMULATED)
    Options = AcmeOptions
    options_prefix = "DEXEXEC_ACME_"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """The fixed price, less the spread. Raises `Unsupported` or `NoRoute`."""
        refusal = self.capabilities.refusal(request)
        if refusal:
            raise Unsupported(refusal)
        micros = self.options.price * 10**6
        selling = request.mint_in == WSOL
        gross = request.amount * micros // 10**9 if selling else request.amount * 10**9 // micros
        fee = -(-gross * self.options.spread_bps // 10_000)
        if gross <= fee or (gross if selling else request.amount) > MOST_USDC:
            raise NoRoute(f"amounts are taken up to {MOST_USDC} base units of USDC, and if something is left of them")
        now = self.context.clock.unix_ms()
        return Quote(
            venue=self.name,
            request=request,
            amount_in=request.amount,
            amount_out=gross - fee,
            min_out=min_out(gross - fee, request.slippage_bps),
            max_in=request.amount,
            fee=fee,
            fee_mint=request.mint_out,
            network_fee=5_000,
            price_impact_ppm=0,
            expires_at_ms=now + 5_000,
            context_slot=now // 400,
            route=("acme-desk",),
        )

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> UnsignedSwap:
        """A simulated swap. Raises `QuoteExpired`."""
        if self.context.clock.unix_ms() >= quote.expires_at_ms:
            raise QuoteExpired("the desk has moved on: ask again")
        message = SimulatedSwap(
            venue=self.name,
            mint_in=quote.request.mint_in,
            mint_out=quote.request.mint_out,
            amount_in=quote.amount_in,
            amount_out=quote.amount_out,
            min_out=quote.min_out,
            max_in=quote.max_in,
            exact_in=True,
            payer=payer,
            blockhash=blockhash.hash,
            nonce=secrets.token_hex(8),
            fee=quote.network_fee,
        )
        return UnsignedSwap(message.encode(), blockhash)
