"""Nodes that are behind, or report impossible values: which of them `RpcChain` believes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.swap import Landed, NotSeen, Unavailable
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.testing.clock import ManualClock
from tests.support.chain_suite import unknown
from tests.support.localnet.in_process import SOL, run_localnet, set_faults
from tests.support.localnet.rpc_chains import (
    LONG_TIMEOUTS,
    RecordingListener,
    open_chain,
    rpc_chain,
    signed_transfer,
    wrong_answers,
)
from tests.support.localnet.scripted_node import scripted_node


def constantly(result: object) -> Callable[[object], object]:
    return lambda _: result


async def test_a_blockhash_is_never_of_a_node_that_is_behind_the_others(tmp_path: Path) -> None:
    listener = RecordingListener()
    async with run_localnet(tmp_path) as net:
        await net.advance(100)
        behind = f"{net.url}/nodes/behind"
        await set_faults(behind, lag=50)
        async with open_chain(rpc_chain(behind, net.url, listener=listener)) as chain:
            newest = await net.rpc("getLatestBlockhash", {"commitment": "confirmed"})
            assert (await chain.blockhash()).hash == newest["value"]["blockhash"]
            assert [line[0] for line in listener.lines] == ["lags"]
            assert listener.lines[0][2] == "50"


async def test_a_preferred_node_that_falls_behind_is_left_at_the_next_survey(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(100)
        first = f"{net.url}/nodes/first"
        async with open_chain(rpc_chain(first, net.url, timeouts=replace(LONG_TIMEOUTS, survey=0))) as chain:
            before = await chain.blockhash()
            await set_faults(first, lag=50)
            await net.advance(20)
            assert (await chain.blockhash()).last_valid_height == before.last_valid_height + 20


async def test_a_node_that_is_a_little_behind_keeps_its_place(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(100)
        first = f"{net.url}/nodes/first"
        await set_faults(first, lag=3)
        async with open_chain(rpc_chain(first, net.url)) as chain:
            newest = await net.rpc("getLatestBlockhash", {"commitment": "confirmed"})
            assert (await chain.blockhash()).last_valid_height == newest["value"]["lastValidBlockHeight"] - 3


@pytest.mark.parametrize("history", [False, True])
async def test_what_a_lagging_node_does_not_have_is_not_taken_for_unknown(tmp_path: Path, history: bool) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await net.advance(100)
        behind = f"{net.url}/nodes/behind"
        await set_faults(behind, lag=50)
        async with open_chain(rpc_chain(behind, net.url)) as chain:
            swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
            await chain.submit(swap)
            await net.advance(2)
            await set_faults(net.url, answers=wrong_answers("503", "getSignatureStatuses"))
            [status] = await chain.status([swap.signature], history=history)
            assert isinstance(status, Unavailable)
            await set_faults(net.url)
            [status] = await chain.status([swap.signature], history=history)
            assert isinstance(status, Landed)


async def test_an_answer_from_before_the_finalized_slot_proves_nothing() -> None:
    """One address, two nodes behind it: one returns the height, the other the statuses."""
    epoch = {"absoluteSlot": 900, "blockHeight": 800, "epoch": 0, "slotIndex": 0, "slotsInEpoch": 1}
    for slot, answer in ((899, Unavailable), (900, NotSeen)):
        statuses = {"context": {"slot": slot}, "value": [None]}
        newest = {"context": {"slot": 901}, "value": {"blockhash": "1" * 32, "lastValidBlockHeight": 951}}
        async with scripted_node(
            getEpochInfo=constantly(epoch),
            getSignatureStatuses=constantly(statuses),
            getLatestBlockhash=constantly(newest),
        ) as node:
            async with open_chain(rpc_chain(node.url)) as chain:
                for history in (False, True):
                    [status] = await chain.status([unknown()], history=history)
                    assert isinstance(status, answer)
            order = [method for method, _ in node.requests if method != "getLatestBlockhash"]
            assert order == ["getEpochInfo", "getSignatureStatuses"] * 2, "the height is from before the lookup"


async def test_a_height_that_no_other_node_reaches_is_not_believed_for_good(tmp_path: Path) -> None:
    clock, heights = ManualClock(), [10**9]

    def epoch(_: object) -> dict[str, int]:
        return {"absoluteSlot": heights.pop(), "blockHeight": 10**9}

    statuses = {"context": {"slot": 10**9}, "value": [None]}
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(getEpochInfo=epoch, getSignatureStatuses=constantly(statuses)) as lying,
        open_chain(RpcChain([lying.url, net.url], clock, RecordingListener(), LONG_TIMEOUTS)) as chain,
    ):
        assert isinstance((await chain.status([unknown()]))[0], NotSeen)
        for seconds, answer in ((10, Unavailable), (51, NotSeen)):
            clock.advance(seconds)
            [status] = await chain.status([unknown()])
            assert isinstance(status, answer), "the boasting node is gone by now"


@pytest.mark.parametrize("slots", [12, 60])
async def test_promise_17_one_address_before_two_nodes_of_which_one_is_behind_fails_no_order(
    tmp_path: Path, slots: int
) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await net.advance(100)
        behind = f"{net.url}/nodes/behind"
        await set_faults(behind, lag=slots)
        async with scripted_node(net.url) as front, open_chain(rpc_chain(front.url)) as chain:
            front.upstreams = [net.url, behind]
            for _ in range(4):
                swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
                before = await chain.accounts([str(wallet.pubkey())])
                simulation = await chain.simulate(swap.payload, [])
                assert (simulation.error, simulation.slot >= before.slot) == (None, True)
                await net.advance(1)


async def test_the_heights_of_all_nodes_are_read_only_now_and_then(tmp_path: Path) -> None:
    clock = ManualClock()
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as one,
        scripted_node(net.url) as two,
        open_chain(RpcChain([one.url, two.url], clock, RecordingListener(), LONG_TIMEOUTS)) as chain,
    ):
        for _ in range(5):
            await chain.blockhash()
        assert (one.count("getLatestBlockhash"), two.count("getLatestBlockhash")) == (5, 1)
        clock.advance(LONG_TIMEOUTS.survey)
        await chain.blockhash()
        assert (one.count("getLatestBlockhash"), two.count("getLatestBlockhash")) == (6, 2)
