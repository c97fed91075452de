"""When a cluster's blocks are final, found out from its nodes while the chain runs."""

from pathlib import Path
from typing import Any

import pytest

from dexexec.domain.pace import Finality
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.rpc.consensus import LARGEST_GAP
from tests.support.localnet.in_process import pay, run_localnet
from tests.support.localnet.rpc_chains import RecordingListener, open_chain, rpc_chain
from tests.support.localnet.scripted_node import JsonRpcError, ScriptedNode, scripted_node

METHOD_NOT_FOUND = JsonRpcError(-32601)
CERTIFICATE = {"block": {"slot": 0, "blockId": [0] * 32}, "signature": {"bitmap": [], "signature": []}}


async def test_a_migration_is_noticed_while_the_chain_runs(tmp_path: Path) -> None:
    listener = RecordingListener()
    async with run_localnet(tmp_path, consensus=Consensus.TOWER) as net:
        await net.advance(40)
        chain = rpc_chain(net.url, listener=listener)
        await chain.learn_finality()
        before = chain.pace.finality
        await net.rpc("localnet_migrate")
        await net.advance(2)
        await chain.learn_finality()
        await chain.aclose()
    assert [before, chain.pace.finality] == listener.finalities == [Finality.DELAYED, Finality.IMMEDIATE]


@pytest.mark.parametrize(
    ("consensus", "answer", "expected"),
    [
        (Consensus.ALPENGLOW, METHOD_NOT_FOUND, Finality.IMMEDIATE),
        (Consensus.ALPENGLOW, None, Finality.DELAYED),
        (Consensus.ALPENGLOW, {"block": "none"}, Finality.IMMEDIATE),
        (Consensus.TOWER, METHOD_NOT_FOUND, Finality.DELAYED),
        (Consensus.TOWER, CERTIFICATE, Finality.DELAYED),
    ],
)
async def test_a_second_node_can_only_make_it_less_immediate(
    tmp_path: Path, consensus: Consensus, answer: Any, expected: Finality
) -> None:
    async with run_localnet(tmp_path, consensus=consensus) as net:
        await net.advance(40)
        async with scripted_node(net.url, getAgGenesisCert=lambda _: answer) as other:
            chain = rpc_chain(net.url, other.url)
            await chain.learn_finality()
            await chain.aclose()
    assert chain.pace.finality is expected


async def test_a_false_certificate_is_not_believed_where_finality_takes_time(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, consensus=Consensus.TOWER) as net:
        await net.advance(LARGEST_GAP + 2)
        async with scripted_node(net.url, getAgGenesisCert=lambda _: CERTIFICATE) as liar:
            chain = rpc_chain(liar.url)
            await chain.learn_finality()
            await chain.aclose()
    assert chain.pace.finality is Finality.DELAYED


def commitments(node: ScriptedNode) -> set[str]:
    """The commitments at which the node was read since the last call."""
    options = [param for _, params in node.requests for param in params if isinstance(param, dict)]
    node.requests.clear()
    return {option["commitment"] for option in options if "commitment" in option}


async def read_everything(chain: RpcChain, wallet: str, payload: bytes) -> None:
    """One of each request that is made for an order."""
    await chain.blockhash()
    await chain.accounts([wallet])
    await chain.token_accounts(wallet)
    await chain.newest_signatures(wallet)
    await chain.simulate(payload, [wallet])


@pytest.mark.parametrize("consensus", Consensus)
async def test_where_confirmed_is_final_nothing_is_read_by_the_name_confirmed(
    tmp_path: Path, consensus: Consensus
) -> None:
    async with run_localnet(tmp_path, consensus=consensus) as net:
        wallet = await net.funded()
        await net.advance(40)
        payload = bytes(await net.signed([pay(wallet, wallet.pubkey(), 1)], wallet))
        async with scripted_node(net.url) as node, open_chain(rpc_chain(node.url)) as chain:
            await chain.learn_finality()
            commitments(node)
            await read_everything(chain, str(wallet.pubkey()), payload)
            expected = {"finalized"} if consensus is Consensus.ALPENGLOW else {"confirmed", "finalized"}
            assert commitments(node) == expected


async def test_a_node_that_no_longer_has_the_name_confirmed_is_read_by_the_other(tmp_path: Path) -> None:
    """Its provider does not offer `getAgGenesisCert`, so its consensus is unknown."""
    async with run_localnet(tmp_path, consensus=Consensus.ALPENGLOW) as net:
        wallet = await net.funded()
        await net.advance(40)
        payload = bytes(await net.signed([pay(wallet, wallet.pubkey(), 1)], wallet))
        async with scripted_node(net.url, getAgGenesisCert=lambda _: METHOD_NOT_FOUND) as node:
            node.refused_commitment = "confirmed"
            async with open_chain(rpc_chain(node.url)) as chain:
                await chain.learn_finality()
                await read_everything(chain, str(wallet.pubkey()), payload)
                commitments(node)
                await read_everything(chain, str(wallet.pubkey()), payload)
                assert commitments(node) == {"finalized"}, "it is not tried with the other name again and again"
