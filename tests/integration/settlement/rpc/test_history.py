"""A wallet's past by `RpcChain`: every page of every node, and none that stops on the way is taken for all."""

from pathlib import Path
from typing import Any

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.localnet.ledger import MEMO
from dexexec.settlement.solana.rpc import methods
from dexexec.venue import BadAnswer, Unreachable, VenueError
from tests.support.localnet.in_process import SOL, InProcessLocalnet, pay, run_localnet, set_faults
from tests.support.localnet.rpc_chains import open_chain, rpc_chain, wrong_answers
from tests.support.localnet.scripted_node import JsonRpcError, scripted_node

LIST, READ = "getSignaturesForAddress", "getTransaction"
LATER = 2**40
FINAL = 40
"""Slots, after which what landed is finalized."""


async def transfers(net: InProcessLocalnet, wallet: Keypair, count: int) -> list[str]:
    """Signatures of transfers by the wallet, each with a memo, the newest first; they are finalized."""
    sent = []
    for number in range(count):
        memo = Instruction(MEMO, f"transfer {number}".encode(), [])
        sent.append(str(await net.land([pay(wallet, Pubkey.new_unique(), SOL + number), memo], wallet)))
    await net.advance(FINAL)
    return sent[::-1]


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "MAX_SIGNATURES", 2)


async def test_a_history_is_read_page_by_page_with_its_memos(tmp_path: Path, short_pages: None) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        sent = await transfers(net, wallet, 5)
        async with open_chain(rpc_chain(net.url)) as chain:
            [history] = await chain.wallet_history(str(wallet.pubkey()), 0)
            listed = {one.signature: one for one in history.entries}
            assert list(listed)[:5] == sent
            assert listed[sent[0]].memos == "[10] transfer 4"
            assert history.height == min((await chain.heights()).values())
            [newer] = await chain.wallet_history(str(wallet.pubkey()), LATER)
            assert [one.signature for one in newer.entries] == sent[:2], "no page is read behind one that is old enough"


async def test_the_newest_are_one_page_and_as_confirmed(tmp_path: Path, short_pages: None) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await transfers(net, wallet, 2)
        fresh = str(await net.land([pay(wallet, Pubkey.new_unique(), SOL)], wallet))
        await net.advance(2)
        async with open_chain(rpc_chain(net.url)) as chain:
            newest = await chain.newest_signatures(str(wallet.pubkey()))
            assert newest is not None
            assert [one.signature for one in newest][:1] == [fresh]
            assert len(newest) == 2
            [history] = await chain.wallet_history(str(wallet.pubkey()), 0)
            assert fresh not in {one.signature for one in history.entries}, "it is not finalized"


async def test_every_node_is_queried_since_one_may_have_forgotten(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        sent = await transfers(net, wallet, 1)
        await set_faults(f"{net.url}/nodes/young", forgets="all")
        async with open_chain(rpc_chain(f"{net.url}/nodes/young", net.url)) as chain:
            young, old = await chain.wallet_history(str(wallet.pubkey()), 0)
            assert (len(young.entries), old.entries[0].signature) == (0, sent[0])
            kept = await chain.kept_transaction(sent[0])
            assert kept is not None
            assert kept.signature == sent[0]
            assert kept.payload[65:]


async def test_a_node_that_stops_answering_on_the_way_is_no_end_of_the_list(tmp_path: Path, short_pages: None) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await transfers(net, wallet, 5)
        asked = 0

        def pages(params: Any) -> Any:
            nonlocal asked
            asked += 1
            return [entry("1"), entry("2")] if asked == 1 else {"no": "list"}

        def entry(digit: str) -> Any:
            return {"signature": digit * 64, "slot": 3, "err": None, "memo": None, "blockTime": 10}

        async with scripted_node(net.url, **{LIST: pages}) as node, open_chain(rpc_chain(node.url, net.url)) as chain:
            with pytest.raises(VenueError):
                await chain.wallet_history(str(wallet.pubkey()), 0)


async def test_a_node_that_lists_the_same_page_for_ever_is_given_up(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(FINAL)
        page = [{"signature": "1" * 64, "slot": 3, "err": None, "memo": None, "blockTime": 10}]
        async with scripted_node(net.url, **{LIST: lambda _: page}) as node, open_chain(rpc_chain(node.url)) as chain:
            with pytest.raises(BadAnswer, match="again and again"):
                await chain.wallet_history(str(Pubkey.new_unique()), 0)


async def test_a_node_without_such_lists_is_skipped_and_reported_if_no_node_has_them(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        sent = await transfers(net, wallet, 1)
        async with scripted_node(net.url, **{LIST: lambda _: JsonRpcError(-32601)}) as node:
            async with open_chain(rpc_chain(node.url, net.url)) as chain:
                [history] = await chain.wallet_history(str(wallet.pubkey()), 0)
                assert history.entries[0].signature == sent[0]
            async with open_chain(rpc_chain(node.url)) as chain:
                assert await chain.newest_signatures(str(wallet.pubkey())) is None
                with pytest.raises(Unreachable):
                    await chain.wallet_history(str(wallet.pubkey()), 0)


async def test_while_no_node_answers_there_is_no_history(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        await net.advance(FINAL)
        await set_faults(net.url, answers=wrong_answers("503"))
        for call in (chain.heights(), chain.newest_signatures("x"), chain.wallet_history("x", 0)):
            with pytest.raises(Unreachable):
                await call
        with pytest.raises(Unreachable):
            await chain.kept_transaction("1" * 64)


async def test_a_transaction_is_only_taken_for_the_requested_one(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        one, other = await transfers(net, wallet, 2)
        async with open_chain(rpc_chain(net.url)) as chain:
            assert await chain.kept_transaction("1" * 64) is None
        shown = await net.rpc(READ, other, {"encoding": "base64", "maxSupportedTransactionVersion": 0})
        async with scripted_node(net.url, **{READ: lambda _: shown}) as node, open_chain(rpc_chain(node.url)) as chain:
            with pytest.raises(BadAnswer):
                await chain.kept_transaction(one)
