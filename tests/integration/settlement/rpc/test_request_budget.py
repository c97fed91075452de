"""`RpcChain` with nodes that have limits: rests, one budget for all callers, few requests, and no stale answer."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.solana import AccountFilters
from dexexec.domain.swap import Accepted, Landed, Unavailable, Unknown
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, RateLimited, Unreachable
from tests.support.localnet.in_process import SOL, run_localnet, set_faults
from tests.support.localnet.rpc_chains import (
    LONG_TIMEOUTS,
    SHORT_TIMEOUTS,
    RecordingListener,
    open_chain,
    rpc_chain,
    signed_transfer,
    wrong_answers,
)
from tests.support.localnet.scripted_node import scripted_node

ADDRESSES = [str(Pubkey([n, *bytes(31)])) for n in range(120)]
TOO_MANY = b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 429, "message": "Too many requests"}}'


def accounts_at(*slots: int) -> Callable[[Any], Any]:
    """Nothing anywhere, as of one slot after the other; the last stays."""
    left = list(slots)

    def answer(params: list[Any]) -> Any:
        slot = left.pop(0) if len(left) > 1 else left[0]
        return {"context": {"slot": slot}, "value": [None] * len(params[0])}

    return answer


# ---- rests -----------------------------------------------------------------------------------------------------------


async def test_a_node_that_refuses_too_many_requests_cools_down_while_another_is_used(tmp_path: Path) -> None:
    listener, clock = RecordingListener(), ManualClock()
    async with run_localnet(tmp_path) as net, scripted_node(net.url) as good:
        busy = f"{net.url}/nodes/busy"
        async with open_chain(RpcChain([busy, good.url], clock, listener, LONG_TIMEOUTS)) as chain:
            await set_faults(busy, answers=wrong_answers("429", requests=1))
            for _ in range(3):
                await chain.accounts(ADDRESSES[:1])
            assert good.count("getMultipleAccounts") == 3
            await chain.genesis_hash()
            assert listener.kinds == ["rate limited"], "told once, and not asked for as long as it wants"
            clock.advance(1)  # which is what it says
            await chain.genesis_hash()
            assert listener.kinds == ["rate limited", "recovered"]


async def test_the_only_node_gets_no_request_during_its_cooldown_and_nothing_is_claimed(tmp_path: Path) -> None:
    listener, clock = RecordingListener(), ManualClock()
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as node,
        open_chain(RpcChain([node.url], clock, listener, LONG_TIMEOUTS)) as chain,
    ):
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        node.http_statuses["getMultipleAccounts"] = 429
        for _ in range(3):  # each waits for the next turn, as long as it can
            with pytest.raises(RateLimited, match="429"):
                await chain.accounts(ADDRESSES[:1])
        node.requests.clear()
        with pytest.raises(RateLimited, match="refused too many requests and gets none for"):
            await chain.accounts(ADDRESSES[:1])
        assert isinstance(await chain.submit(swap), Unknown)
        for history in (False, True):
            assert isinstance((await chain.status([swap.signature], history=history))[0], Unavailable)
        assert node.requests == []
        assert listener.kinds == ["rate limited"]
        clock.advance(30)
        assert await chain.submit(swap) == Accepted()
        await net.advance(2)
        assert isinstance((await chain.status([swap.signature]))[0], Landed)


async def test_a_node_that_takes_no_more_searches_still_sends() -> None:
    async with (
        scripted_node(getProgramAccounts=TOO_MANY, getGenesisHash=lambda _: "hash") as node,
        open_chain(rpc_chain(node.url)) as chain,
    ):
        for _ in range(2):
            with pytest.raises(RateLimited):
                await chain.program_accounts(ADDRESSES[1], AccountFilters(1))
        assert await chain.genesis_hash() == "hash"
        assert node.count("getProgramAccounts") == 1


# ---- what a node does not do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-32601, -32010])
async def test_a_node_that_does_not_search_is_used_last_for_that_and_first_for_all_else(
    tmp_path: Path, code: int
) -> None:
    refusal = f'{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"excluded"}}}}'.encode()
    listener = RecordingListener()
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url, getProgramAccounts=refusal) as one,
        scripted_node(net.url) as two,
        open_chain(rpc_chain(one.url, two.url, listener=listener)) as chain,
    ):
        for _ in range(3):
            await chain.program_accounts(ADDRESSES[1], AccountFilters(1))
            await chain.accounts(ADDRESSES[:1])
        assert (one.count("getProgramAccounts"), two.count("getProgramAccounts")) == (1, 3)
        assert (one.count("getMultipleAccounts"), two.count("getMultipleAccounts")) == (3, 0)
        assert listener.lines == []


@pytest.mark.parametrize("status", [403, 410])
async def test_a_search_that_is_forbidden_is_no_failure_of_the_node(status: int) -> None:
    listener = RecordingListener()
    async with (
        scripted_node(getProgramAccounts=lambda _: status, getGenesisHash=lambda _: "hash") as node,
        open_chain(rpc_chain(node.url, listener=listener)) as chain,
    ):
        node.http_statuses["getProgramAccounts"] = status
        with pytest.raises(Unreachable, match=str(status)):
            await chain.program_accounts(ADDRESSES[1], AccountFilters(1))
        assert listener.lines == []
        node.http_statuses["getGenesisHash"] = status
        with pytest.raises(Unreachable, match=str(status)):
            await chain.genesis_hash()
        assert listener.kinds == ["failed"], "whoever forbids everything is no good"


# ---- one budget ------------------------------------------------------------------------------------------------------


async def test_quotes_that_use_up_the_budget_do_not_keep_a_swap_from_being_sent_and_found(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, scripted_node(net.url) as node:
        wallet = await net.funded()
        await net.advance(2)
        chain = RpcChain([node.url], SystemClock(), RecordingListener(), LONG_TIMEOUTS, requests_per_second=40)
        async with open_chain(chain):
            filters, began = AccountFilters(1), time.monotonic()
            quoting = [asyncio.create_task(chain.program_accounts(ADDRESSES[1], filters)) for _ in range(2_000)]
            await asyncio.sleep(0)
            swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
            assert await chain.submit(swap) == Accepted()
            await net.advance(2)
            assert isinstance((await chain.status([swap.signature]))[0], Landed)
            assert node.count("getProgramAccounts") <= 40 + 40 * (time.monotonic() - began)
            found = await asyncio.gather(*quoting, return_exceptions=True)
    refused = [one for one in found if isinstance(one, BaseException)]
    assert {type(one) for one in refused} == {RateLimited}
    assert "DEXEXEC_RPC_REQUESTS_PER_SECOND" in str(refused[0])
    assert len(refused) >= 1_500, "there is room for 40 in each of four seconds"


# ---- few requests ----------------------------------------------------------------------------------------------------


async def test_concurrent_requests_for_accounts_are_one_request_and_each_gets_its_own(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, scripted_node(net.url) as node, open_chain(rpc_chain(node.url)) as chain:
        wallets = [await net.funded(lamports * SOL) for lamports in range(1, 6)]
        await net.advance(2)
        keys = [str(wallet.pubkey()) for wallet in wallets]
        wanted = [[keys[0], ADDRESSES[5], keys[1]], [keys[1]], [], [keys[4], keys[3], keys[4]]]
        found = await asyncio.gather(*(chain.accounts(one) for one in wanted))
        assert node.count("getMultipleAccounts") == 1
        held = [[None if one is None else one.lamports // SOL for one in each.found] for each in found]
        assert held == [[1, None, 2], [2], [], [5, 4, 5]]
        assert len({each.slot for each in found}) == 1


async def test_a_request_holds_100_accounts_and_no_read_is_split() -> None:
    async with scripted_node(getMultipleAccounts=accounts_at(7)) as node, open_chain(rpc_chain(node.url)) as chain:
        parts = [ADDRESSES[:60], ADDRESSES[60:120], ADDRESSES[:30], ADDRESSES[60:90]]
        found = await asyncio.gather(*(chain.accounts(part) for part in parts))
        assert [len(each.found) for each in found] == [60, 60, 30, 30]
        sizes = [len(params[0]) for _, params in node.requests]
        assert sizes == [60, 90]


async def test_requests_while_others_are_on_their_way_go_together(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, scripted_node(net.url) as node, open_chain(rpc_chain(node.url)) as chain:
        early = []
        for address in ADDRESSES[:50]:
            early.append(asyncio.create_task(chain.accounts([address])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*early)
        assert node.count("getMultipleAccounts") < 25


async def test_an_invalid_address_fails_alone_and_a_caller_who_gives_up_disturbs_no_other(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        await net.advance(2)
        impatient = asyncio.create_task(chain.accounts(ADDRESSES[:2]))
        others = asyncio.gather(
            chain.accounts(ADDRESSES[:1]), chain.accounts(["nonsense"]), chain.accounts(ADDRESSES[1:2]),
            return_exceptions=True,
        )  # fmt: skip
        await asyncio.sleep(0)
        impatient.cancel()
        one, bad, two = await others
        assert isinstance(bad, BadAnswer)
        assert not isinstance(one, BaseException)
        assert not isinstance(two, BaseException)


async def test_all_waiters_are_released_when_the_chain_is_closed(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.set_faults(answers=wrong_answers("hang", requests=1000))
        chain = rpc_chain(net.url)
        waiting = asyncio.gather(*(chain.accounts([one]) for one in ADDRESSES), return_exceptions=True)
        await asyncio.sleep(0.01)
        await chain.aclose()
        assert {type(one) for one in await waiting} == {asyncio.CancelledError}


# ---- stale answers ---------------------------------------------------------------------------------------------------


async def test_accounts_of_a_node_that_lags_are_refused_and_another_is_used(tmp_path: Path) -> None:
    listener = RecordingListener()
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await net.advance(100)
        behind = f"{net.url}/nodes/behind"
        async with open_chain(rpc_chain(behind, net.url, listener=listener)) as chain:
            await chain.blockhash()  # both are asked: how far the best is, is known
            await set_faults(behind, lag=50)
            chain._nodes._prefer(chain._nodes.order_for("", None)[-1])
            for _ in range(2):
                found = await chain.accounts([str(wallet.pubkey())])
                assert found.slot == await net.rpc("getSlot", {"commitment": "confirmed"})
            await set_faults(net.url, answers=wrong_answers("503", "getMultipleAccounts"))
            with pytest.raises(TimeoutError):  # it is waited for, and not believed
                async with asyncio.timeout(0.3):
                    await chain.accounts([str(wallet.pubkey())])
            await set_faults(net.url)
            assert (await chain.accounts([str(wallet.pubkey())])).found[0] is not None


async def test_an_answer_from_before_a_nodes_own_earlier_one_is_requested_again() -> None:
    """One address, several nodes behind it, of which some are behind."""
    listener = RecordingListener()
    async with (
        scripted_node(getMultipleAccounts=accounts_at(500, 489, 480, 490, 480)) as node,
        open_chain(rpc_chain(node.url, listener=listener)) as chain,
    ):
        assert (await chain.accounts(ADDRESSES[:1])).slot == 500
        assert (await chain.accounts(ADDRESSES[:1])).slot == 490
        assert [params[1].get("minContextSlot") for _, params in node.requests] == [None, None, 490, 490]
        assert listener.kinds == [], "that is no news"


async def test_a_node_that_stays_behind_itself_is_refused_when_there_is_no_time_left() -> None:
    listener = RecordingListener()
    async with (
        scripted_node(getMultipleAccounts=accounts_at(500, 489)) as node,
        open_chain(rpc_chain(node.url, listener=listener, timeouts=SHORT_TIMEOUTS)) as chain,
    ):
        assert (await chain.accounts(ADDRESSES[:1])).slot == 500
        with pytest.raises(Unreachable, match="its answer is of slot 489, 11 slots ago"):
            await chain.accounts(ADDRESSES[:1])
        assert listener.kinds == ["lags"]


async def test_a_node_that_has_not_reached_the_slot_yet_is_polled_until_it_has(tmp_path: Path) -> None:
    """The localnet answers -32016 to a slot that it has not reached."""
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await net.advance(100)
        async with open_chain(rpc_chain(net.url)) as chain:
            await chain.accounts(ADDRESSES[:1])
            await set_faults(net.url, lag=30)
            reading = asyncio.create_task(chain.accounts([str(wallet.pubkey())]))
            await asyncio.sleep(0.25)
            assert not reading.done()
            await set_faults(net.url)
            assert (await reading).found[0] is not None


async def test_a_slot_that_no_other_node_reaches_is_not_believed_for_good() -> None:
    clock = ManualClock()
    async with (
        scripted_node(getMultipleAccounts=accounts_at(10**9, 500, 501)) as node,
        open_chain(RpcChain([node.url], clock, RecordingListener(), LONG_TIMEOUTS)) as chain,
    ):
        await chain.accounts(ADDRESSES[:1])
        with pytest.raises(Unreachable):
            await chain.accounts(ADDRESSES[:1])
        clock.advance(61)
        assert (await chain.accounts(ADDRESSES[:1])).slot == 501
