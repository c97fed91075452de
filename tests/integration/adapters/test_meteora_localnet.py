"""Meteora quotes from a real node's answers: the recorded pools on a localnet, with its search and its clock."""

from pathlib import Path

import pytest
from solders.account import Account as SolanaAccount
from solders.pubkey import Pubkey

from dexexec.domain.quote import SwapRequest
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, VenueContext
from dexexec_adapters.meteora.venue import Meteora, MeteoraOptions
from dexexec_adapters.solana.chain_clock import CLOCK, read_clock
from tests.support import meteora_accounts as at
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_chains import open_chain, rpc_chain
from tests.support.meteora_accounts import BUY, SELL, meteora, pool_of
from tests.support.meteora_accounts import chain_of as recorded_chain
from tests.support.raydium_accounts import address, patched

OUR_CLOCK = ManualClock()
"""Years behind the node's: nothing may depend on it but expiry."""
LATER = 2**40


async def put(net: InProcessLocalnet, *pools: bytes) -> None:
    """Pools at `address(1)`, `address(2)` ..., and what belongs to them."""
    held = {place: one for place, one in recorded_chain(*pools).held.items() if place != CLOCK}
    net.ledger.add_accounts([
        (Pubkey.from_string(place), SolanaAccount(one.lamports, one.data, Pubkey.from_string(one.owner)))
        for place, one in held.items()
    ])  # fmt: skip
    await net.advance(2)


@pytest.mark.parametrize("request_", [SELL, BUY])
async def test_a_pool_of_a_node_is_found_and_quoted_as_the_recorded_one(tmp_path: Path, request_: SwapRequest) -> None:
    pools = pool_of((USDC, WSOL), data=at.RANGE), pool_of((WSOL, address(9)), 2), pool_of(number=3)
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        await put(net, *pools)
        venue = Meteora(VenueContext(OUR_CLOCK, Tokens(KNOWN), chain, MeteoraOptions(cluster="localnet")))
        quote = await venue.quote(request_, OUR_CLOCK.monotonic() + 10)
        expected = await meteora(recorded_chain(*pools)).quote(request_, 10)
        assert (quote.amount_in, quote.amount_out) == (expected.amount_in, expected.amount_out)
        assert quote.route == expected.route
        assert 0 < quote.context_slot < expected.context_slot
        await venue.aclose()


async def test_a_pool_opens_by_the_nodes_clock(tmp_path: Path) -> None:
    closed = patched(pool_of(), (at.ACTIVATION_AT, LATER))
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        await put(net, closed)
        now = read_clock((await chain.accounts([CLOCK])).found[0])
        assert now.slot > 0
        assert now.unix_timestamp > OUR_CLOCK.unix_ms() // 1000
        venue = Meteora(VenueContext(OUR_CLOCK, Tokens(KNOWN), chain, MeteoraOptions(cluster="localnet")))
        with pytest.raises(NoRoute, match=rf"opens at {LATER}, it is \d+$"):
            await venue.quote(SELL, OUR_CLOCK.monotonic() + 10)
        await venue.aclose()
