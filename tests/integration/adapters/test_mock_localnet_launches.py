"""A mint that a mock venue launches on a localnet exists from then on, and can be bought."""

from contextlib import aclosing
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec.domain import base58
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.swap import fill_of
from dexexec.domain.token import WSOL
from dexexec.venues.registry import VenueClass
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import MockRaydium
from tests.support.localnet.mock_venue_setup import mock_venue_setup

MINT = base58.encode(bytes([77]) * 32)


@pytest.mark.parametrize("kind", [MockRaydium, MockMeteora], ids=lambda kind: kind.name)
async def test_a_launched_mint_is_reported_as_the_chain_has_it_and_bought(tmp_path: Path, kind: VenueClass) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(kind, launches=30)
        async with aclosing(venue.watch_pools((WSOL, MINT))) as pools:
            pool = await anext(pools)
        token = pool.token(MINT)
        assert token.mint_authority is not None, "the faucet can mint more"
        assert token.decimals == on.net.ledger.decimals(Pubkey.from_string(MINT))
        request = SwapRequest(mint_in=WSOL, mint_out=MINT, amount=10**7, mode=Mode.EXACT_IN, slippage_bps=50)
        quote = await venue.quote(request, on.clock.monotonic() + 10)
        assert quote.route == (pool.address,)
        fill = fill_of(await on.landed(await on.seal(venue, quote)), request)
        assert (fill.amount_in, fill.amount_out) == (10**7, quote.amount_out)
        assert await on.tokens(on.sealer.payer, MINT) >= quote.amount_out
        await venue.aclose()
