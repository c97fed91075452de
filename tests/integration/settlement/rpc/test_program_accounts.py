"""Pools are found by a real search of a node: the recorded accounts on a localnet, through `RpcChain`."""

from pathlib import Path

import pytest
from solders.account import Account as SolanaAccount
from solders.pubkey import Pubkey

from dexexec.domain import base58
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account, AccountFilters
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, Unreachable, VenueContext
from dexexec_adapters.raydium.layout import pool_filters
from dexexec_adapters.raydium.venue import Raydium, RaydiumOptions
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_chains import open_chain, rpc_chain
from tests.support.localnet.scripted_node import scripted_node
from tests.support.raydium_accounts import (
    POOL_DATA,
    PROGRAM,
    Program,
    RecordedChain,
    address,
    key,
    pool_accounts,
    pool_of,
    raydium,
)

AT = address(1)
MINTS = base58.decode(WSOL), base58.decode(USDC)
OURS = pool_accounts(AT, pool_of((WSOL, USDC)))
ALL = OURS | pool_accounts(address(2), pool_of((WSOL, address(9)), 2))
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)
CLOCK = ManualClock(1_800_000_000_000)


def put(net: InProcessLocalnet, accounts: dict[str, Account]) -> None:
    net.ledger.add_accounts([
        (Pubkey.from_string(at), SolanaAccount(one.lamports, one.data, Pubkey.from_string(one.owner)))
        for at, one in accounts.items()
    ])  # fmt: skip


async def test_a_search_finds_the_accounts_that_suit_and_no_others(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        put(net, ALL)
        await net.advance(2)
        found = await chain.program_accounts(PROGRAM, pool_filters(*MINTS))
        assert dict(found.found) == {AT: OURS[AT]}
        assert found.slot > 0
        assert set((await chain.program_accounts(PROGRAM, AccountFilters(len(POOL_DATA)))).found) == {AT, address(2)}
        assert (await chain.program_accounts(PROGRAM, AccountFilters(1))).found == {}
        assert (await chain.program_accounts(address(70), pool_filters(*MINTS))).found == {}


async def test_raydium_quotes_a_pool_of_a_node_as_it_quotes_the_recorded_one(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        put(net, ALL)
        await net.advance(2)
        venue = Raydium(VenueContext(CLOCK, Tokens(KNOWN), chain, RaydiumOptions(cluster="localnet")))
        quote = await venue.quote(SELL, CLOCK.monotonic() + 10)
        recorded = await raydium(RecordedChain(OURS), CLOCK).quote(SELL, CLOCK.monotonic() + 10)
        assert (quote.amount_out, quote.route) == (recorded.amount_out, (AT,))
        assert 0 < quote.context_slot < recorded.context_slot
        await venue.aclose()


@pytest.mark.parametrize("code", [-32601, -32010, -32602])
async def test_a_node_that_does_not_search_still_shows_the_pool_at_its_derived_address(
    tmp_path: Path, code: int
) -> None:
    refusal = f'{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"not indexed"}}}}'.encode()
    data = pool_of((WSOL, USDC))
    derived = Program.at(PROGRAM).pool_of_config(key(data, 8), *MINTS)
    async with run_localnet(tmp_path) as net, scripted_node(net.url, getProgramAccounts=refusal) as node:
        put(net, pool_accounts(derived, data))
        await net.advance(2)
        async with open_chain(rpc_chain(node.url)) as chain:
            with pytest.raises((BadAnswer, Unreachable), match="not indexed"):
                await chain.program_accounts(PROGRAM, pool_filters(*MINTS))
        async with open_chain(rpc_chain(node.url)) as chain:
            options = RaydiumOptions(cluster="localnet", amm_configs=(key(data, 8),))
            venue = Raydium(VenueContext(CLOCK, Tokens(KNOWN), chain, options))
            assert (await venue.quote(SELL, CLOCK.monotonic() + 10)).route == (derived,)
            assert node.count("getProgramAccounts") == 2
            await venue.aclose()


async def test_a_node_that_returns_other_accounts_than_requested_is_not_believed(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        put(net, ALL)
        await net.advance(2)
        options = {"encoding": "base64", "withContext": True, "commitment": "confirmed"}
        unfiltered = await net.rpc("getProgramAccounts", PROGRAM, options)
        async with (
            scripted_node(net.url, getProgramAccounts=lambda _: unfiltered) as node,
            open_chain(rpc_chain(node.url)) as chain,
        ):
            with pytest.raises(BadAnswer, match="with an unreadable result"):
                await chain.program_accounts(PROGRAM, pool_filters(*MINTS))
