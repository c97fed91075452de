"""`RpcChain` against nodes that fail, lag, forget and lose answers: what is not certain is never taken for settled."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.swap import Accepted, Landed, NotSeen, SwapStatus, Unavailable, Unknown, proves_expiry
from dexexec.venue import BadAnswer, RateLimited, Timeout, Unreachable, VenueError
from tests.support.chain_suite import unknown
from tests.support.localnet.in_process import SOL, run_localnet, set_faults
from tests.support.localnet.rpc_chains import (
    SHORT_TIMEOUTS,
    RecordingListener,
    open_chain,
    rpc_chain,
    signed_transfer,
    timeouts_for,
    wrong_answers,
)
from tests.support.localnet.scripted_node import JsonRpcError, scripted_node

FAILING = ["503", "-32005", "garbage", "hang", "hangup"]


# ---- failing nodes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", FAILING)
async def test_when_a_node_fails_another_is_used_and_preferred_from_then_on(tmp_path: Path, answer: str) -> None:
    listener = RecordingListener()
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await net.advance(2)
        async with open_chain(
            rpc_chain(f"{net.url}/nodes/bad", net.url, listener=listener, timeouts=timeouts_for(answer))
        ) as chain:
            await set_faults(f"{net.url}/nodes/bad", answers=wrong_answers(answer, requests=10**6))
            assert (await chain.accounts([str(wallet.pubkey())])).found[0] is not None
            swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
            assert await chain.submit(swap) == Accepted()
            await net.advance(2)
            assert isinstance((await chain.status([swap.signature]))[0], Landed)
            assert isinstance((await chain.status([swap.signature], history=True))[0], Landed)
            assert listener.kinds == ["failed"], "told once"
            await set_faults(f"{net.url}/nodes/bad")
            await chain.genesis_hash()
            assert listener.kinds == ["failed", "recovered"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("429", RateLimited),
        ("503", Unreachable),
        ("-32005", Unreachable),
        ("garbage", BadAnswer),
        ("hang", Timeout),
        ("hangup", Unreachable),
    ],
)
async def test_when_all_nodes_fail_the_error_has_the_causes_and_nothing_is_claimed(
    tmp_path: Path, answer: str, error: type[Exception]
) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url, timeouts=timeouts_for(answer))) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await set_faults(net.url, answers=wrong_answers(answer, requests=10**6))
        for call in (chain.blockhash(), chain.accounts([]), chain.simulate(swap.payload, []), chain.genesis_hash()):
            with pytest.raises(error, match=r"127\.0\.0\.1") as raised:
                await call
            assert isinstance(raised.value, VenueError)
            assert raised.value.shared, "that is nobody's fault who asks"
        for history in (False, True):
            [status] = await chain.status([swap.signature], history=history)
            assert isinstance(status, Unavailable)
        assert isinstance(await chain.submit(swap), Unknown)


async def test_a_node_without_a_history_proves_nothing_is_reported_and_is_good_for_all_else(tmp_path: Path) -> None:
    def statuses(params: Any) -> Any:
        if params[1]["searchTransactionHistory"]:
            return JsonRpcError(-32011)
        return {"context": {"slot": 300}, "value": [None for _ in params[0]]}

    listener = RecordingListener()
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url, getSignatureStatuses=statuses) as node,
        open_chain(rpc_chain(node.url, listener=listener)) as chain,
    ):
        await net.advance(300)
        [recent] = await chain.status([unknown()])
        [searched] = await chain.status([unknown()], history=True)
        assert isinstance(recent, NotSeen)
        assert isinstance(searched, Unavailable)
        assert "-32011" in searched.detail
        assert listener.kinds == []


async def test_a_node_that_hangs_does_not_delay_later_callers(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url, timeouts=SHORT_TIMEOUTS)) as chain:
        await set_faults(net.url, answers=wrong_answers("hang", requests=200))
        waiting = [chain.accounts([]) for _ in range(200)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(one) for one in found} <= {Timeout, Unreachable}
        await set_faults(net.url)
        assert await chain.genesis_hash() == await net.rpc("getGenesisHash"), "its connections are free again"


async def test_a_node_that_failed_is_used_after_the_others_from_then_on(tmp_path: Path) -> None:
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(getGenesisHash=b"garbage") as bad,
        open_chain(rpc_chain(bad.url, net.url)) as chain,
    ):
        for _ in range(3):
            await chain.genesis_hash()
            await chain.accounts([])
        assert bad.count("getMultipleAccounts") == 0
        assert bad.count("getGenesisHash") >= 3, "this is asked of all"


async def test_answers_that_are_refused_unread_do_not_use_up_the_connections(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        await set_faults(net.url, answers=wrong_answers("503"))
        for _ in range(80):
            with pytest.raises(Unreachable, match="503"):
                await chain.accounts([])


async def test_nodes_of_different_chains_are_refused(tmp_path: Path) -> None:
    async with (
        run_localnet(tmp_path / "1") as one,
        run_localnet(tmp_path / "2") as two,
        open_chain(rpc_chain(one.url, two.url)) as chain,
    ):
        with pytest.raises(BadAnswer, match="different chains"):
            await chain.genesis_hash()


# ---- nodes that forget -----------------------------------------------------------------------------------------------


async def test_what_a_node_forgot_is_found_in_its_history(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await chain.submit(swap)
        await net.advance(200)
        await set_faults(net.url, forgets="recent")
        [recent], [searched] = [await chain.status([swap.signature], history=history) for history in (False, True)]
        assert isinstance(recent, NotSeen)
        assert recent.height > swap.last_valid_height
        assert not proves_expiry(recent, swap.last_valid_height)
        assert isinstance(searched, Landed)


async def test_a_node_that_lost_its_history_is_no_proof_while_another_has_the_swap(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await net.advance(2)
        async with open_chain(rpc_chain(f"{net.url}/nodes/empty", net.url)) as chain:
            swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
            await chain.submit(swap)
            await net.advance(200)
            await set_faults(f"{net.url}/nodes/empty", forgets="all")
            [status] = await chain.status([swap.signature], history=True)
            assert isinstance(status, Landed)


async def status_of_a_landed_swap(folder: Path, **answers: Callable[[Any], object]) -> SwapStatus:
    """What the chain reports of it through a node with these answers."""
    async with (
        run_localnet(folder) as net,
        scripted_node(net.url, **answers) as node,
        open_chain(rpc_chain(node.url)) as chain,
    ):
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await chain.submit(swap)
        await net.advance(2)
        [status] = await chain.status([swap.signature])
        return status


async def test_a_status_whose_transaction_is_not_there_yet_is_not_reported(tmp_path: Path) -> None:
    assert isinstance(await status_of_a_landed_swap(tmp_path, getTransaction=lambda _: None), Unavailable)


async def test_a_transaction_in_another_slot_than_its_status_is_not_reported(tmp_path: Path) -> None:
    """A node that has seen a fork, and another behind the same address that has not."""

    def elsewhere(params: list[list[str]]) -> object:
        status = {"slot": 1, "confirmations": 5, "err": None, "confirmationStatus": "confirmed"}
        return {"context": {"slot": 10**9}, "value": [status for _ in params[0]]}

    assert isinstance(await status_of_a_landed_swap(tmp_path, getSignatureStatuses=elsewhere), Unavailable)


# ---- forks -----------------------------------------------------------------------------------------------------------


async def test_a_fork_takes_back_what_was_confirmed_and_the_same_bytes_land_again(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        await net.advance(40)
        swap = await signed_transfer(chain, wallet, friend, SOL)
        await net.advance(3)
        await chain.submit(swap)
        [status] = await chain.status([swap.signature])
        assert isinstance(status, Unavailable)
        assert "processed only" in status.detail
        await net.advance(2)
        [confirmed] = await chain.status([swap.signature])
        assert isinstance(confirmed, Landed)
        assert not confirmed.finalized
        await net.rpc("localnet_fork", 3)
        [gone] = await chain.status([swap.signature], history=True)
        assert isinstance(gone, NotSeen)
        assert gone.slot > confirmed.slot
        assert not proves_expiry(gone, swap.last_valid_height)
        assert await chain.submit(swap) == Accepted()
        await net.advance(40)
        [final] = await chain.status([swap.signature])
        assert isinstance(final, Landed)
        assert final.finalized
        assert final.slot > confirmed.slot
        assert await net.balance(friend) == SOL


# ---- few requests ----------------------------------------------------------------------------------------------------


async def test_concurrent_callers_for_statuses_are_one_request(tmp_path: Path) -> None:
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as node,
        open_chain(rpc_chain(node.url)) as chain,
    ):
        signatures = [unknown() for _ in range(250)]
        found = await asyncio.gather(*(chain.status([one]) for one in signatures))
        assert {type(status) for [status] in found} == {NotSeen}
        assert node.count("getSignatureStatuses") == node.count("getEpochInfo") == 1
        await chain.status([*signatures, *(unknown() for _ in range(10))])
        assert node.count("getSignatureStatuses") == 3, "a node takes 256 at once"
        assert max(len(params[0]) for method, params in node.requests if method == "getSignatureStatuses") == 256


async def test_concurrent_callers_for_a_blockhash_are_one_request(tmp_path: Path) -> None:
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as node,
        open_chain(rpc_chain(node.url)) as chain,
    ):
        await asyncio.gather(*(chain.blockhash() for _ in range(100)))
        assert node.count("getLatestBlockhash") == 1


async def test_a_transaction_is_read_once_until_it_is_final(tmp_path: Path) -> None:
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as node,
        open_chain(rpc_chain(node.url)) as chain,
    ):
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await chain.submit(swap)
        await net.advance(2)
        for _ in range(5):
            await chain.status([swap.signature])
        assert node.count("getTransaction") == 1
