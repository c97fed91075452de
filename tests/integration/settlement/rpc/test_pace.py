"""When a cluster's blocks are final, found out from its nodes while the chain runs."""

from pathlib import Path
from typing import Any

import pytest

from dexexec.domain.pace import Finality
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.solana.rpc.consensus import LARGEST_GAP
from tests.support.localnet.in_process import run_localnet
from tests.support.localnet.rpc_chains import RecordingListener, rpc_chain
from tests.support.localnet.scripted_node import JsonRpcError, scripted_node

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
