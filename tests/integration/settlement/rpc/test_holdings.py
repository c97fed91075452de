"""`RpcChain` reads an owner's tokens and recent priority fees."""

from pathlib import Path

import pytest
from solders.pubkey import Pubkey
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from dexexec.domain.solana import TokenBalance
from dexexec.venue import RateLimited
from tests.support.localnet.in_process import run_localnet
from tests.support.localnet.rpc_chains import open_chain, rpc_chain, wrong_answers
from tests.support.localnet.scripted_node import scripted_node
from tests.support.localnet.spl_tokens import ata, make_mint, mint_tokens


async def test_all_that_an_owner_holds_is_returned_for_both_token_programs(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        wallet = await net.funded()
        held = []
        for amount, program in ((1_500_000, TOKEN_PROGRAM_ID), (7, TOKEN_2022_PROGRAM_ID), (8, TOKEN_PROGRAM_ID)):
            mint = await make_mint(net, wallet, program)
            await mint_tokens(net, wallet, mint, amount, program)
            held.append(TokenBalance(str(ata(wallet.pubkey(), mint, program)), str(mint), amount, 6))
        await net.advance(2)
        assert await chain.token_accounts(str(wallet.pubkey())) == sorted(held, key=lambda one: one.mint)
        assert await chain.token_accounts(str(Pubkey.new_unique())) == []


async def test_holdings_are_returned_complete_or_not_at_all(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        await net.set_faults(answers=wrong_answers("429", "getTokenAccountsByOwner"))
        with pytest.raises(RateLimited):
            await chain.token_accounts(str(Pubkey.new_unique()))


async def test_the_price_of_block_space_is_read_for_the_accounts_that_are_written(tmp_path: Path) -> None:
    fees = [{"slot": 5, "prioritizationFee": 250}, {"slot": 4, "prioritizationFee": 0}]
    addresses = [str(Pubkey.new_unique()) for _ in range(3)]
    async with (
        scripted_node(getRecentPrioritizationFees=lambda _: fees) as node,
        open_chain(rpc_chain(node.url)) as chain,
    ):
        assert await chain.recent_priority_fees(addresses) == [0, 250]
        assert node.requests == [("getRecentPrioritizationFees", [addresses])]
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        await net.advance(3)
        assert set(await chain.recent_priority_fees(addresses)) == {0}, "nobody pays for space on a localnet"
