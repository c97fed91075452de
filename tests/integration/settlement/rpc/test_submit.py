"""Sending through `RpcChain`: to all nodes at once, and no answer proves anything."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.sends import SendAnswer, SendLog
from dexexec.domain.swap import Accepted, FailedOnChain, Landed, ProgramFailure, SignedSwap, Unknown
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.rpc.broadcast import SendOptions
from tests.support.localnet.in_process import SOL, run_localnet, set_faults
from tests.support.localnet.rpc_chains import (
    RecordingListener,
    open_chain,
    rpc_chain,
    signed_transfer,
    timeouts_for,
    wrong_answers,
)
from tests.support.localnet.scripted_node import JsonRpcError, scripted_node
from tests.support.waiting import until

NOBODY = "http://127.0.0.1:1"
"""Nothing listens there."""


@pytest.mark.parametrize("answer", ["hangup", "hang", "garbage", "503"])
async def test_a_swap_that_landed_while_its_answer_was_lost_is_unknown_and_then_found(
    tmp_path: Path, answer: str
) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url, timeouts=timeouts_for(answer))) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await set_faults(net.url, answers=wrong_answers(answer, "sendTransaction", execute=True))
        assert isinstance(await chain.submit(swap), Unknown)
        await set_faults(net.url)
        await net.advance(2)
        assert isinstance((await chain.status([swap.signature]))[0], Landed)
        assert await chain.submit(swap) == Accepted()


async def test_what_fails_is_sent_all_the_same_and_lands_as_a_failure(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), 100 * SOL)
        assert await chain.submit(swap) == Accepted()
        await net.advance(2)
        [status] = await chain.status([swap.signature])
        assert isinstance(status, FailedOnChain)
        system = "11111111111111111111111111111111"
        assert status.failure == ProgramFailure(
            index=0, program=system, custom=1, text="custom program error: 0x1", origin=system
        )


@pytest.mark.parametrize("code", ["-32002", "-32003", "-32602", "another"])
async def test_no_refusal_proves_anything_as_a_front_may_have_passed_the_bytes_on(tmp_path: Path, code: str) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await set_faults(net.url, answers=wrong_answers(code, "sendTransaction", execute=True))
        answer = await chain.submit(swap)
        assert isinstance(answer, Unknown)
        assert ("another signature" if code == "another" else code) in answer.detail
        await net.advance(2)
        assert isinstance((await chain.status([swap.signature]))[0], Landed)


@pytest.mark.parametrize("part", ["payload", "signature"])
async def test_bytes_that_are_unreadable_or_unsigned_are_unknown(tmp_path: Path, part: str) -> None:
    async with run_localnet(tmp_path) as net, open_chain(rpc_chain(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
        payload = swap.payload[:-1] if part == "payload" else bytes([1]) + bytes(64) + swap.payload[65:]
        assert isinstance(await chain.submit(replace(swap, payload=payload)), Unknown)


async def test_every_send_goes_to_every_node_at_once_and_one_that_takes_it_is_enough(tmp_path: Path) -> None:
    refusing = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32002, "message": "no"}}).encode()
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as one,
        scripted_node(net.url, sendTransaction=refusing) as two,
        open_chain(rpc_chain(NOBODY, two.url, one.url)) as chain,
        open_chain(rpc_chain(net.url)) as good,
    ):
        wallet = await net.funded()
        await net.advance(2)
        swap = await signed_transfer(good, wallet, Pubkey.new_unique(), SOL)

        def sent_to_both(times: int) -> bool:
            return [node.count("sendTransaction") for node in (one, two)] == [times, times]

        for sends in (1, 2):
            assert await chain.submit(swap) == Accepted()
            # The answer of one is enough: what the other gets may come later.
            await until(partial(sent_to_both, sends))
        sent = [params[1] for node in (one, two) for method, params in node.requests if method == "sendTransaction"]
        assert sent == [{"encoding": "base64", "maxRetries": 0, "skipPreflight": True}] * 4


async def test_send_only_endpoints_get_every_transaction_and_nothing_else(tmp_path: Path) -> None:
    listener = RecordingListener()
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as relay,
        scripted_node(sendTransaction=lambda _: JsonRpcError(-32002)) as refusing,
        scripted_node(sendTransaction=lambda _: "1" * 64) as lying,
    ):
        urls = [f"{relay.url}/?api-key=relayKEY123", refusing.url, lying.url, NOBODY]
        chain = RpcChain([net.url], SystemClock(), listener, sends=SendOptions(urls=urls))
        async with open_chain(chain):
            await chain.genesis_hash()
            wallet = await net.funded()
            await net.advance(2)
            swap = await signed_transfer(chain, wallet, Pubkey.new_unique(), SOL)
            log = SendLog()
            await chain.broadcast(swap, log)
            await until(lambda: not any(sends.in_flight for sends in log))
            await net.advance(2)
            assert isinstance((await chain.status([swap.signature], history=True))[0], Landed)
        assert [sends.answer for sends in log] == [
            SendAnswer.ACCEPTED,
            SendAnswer.ACCEPTED,
            SendAnswer.REFUSED,
            SendAnswer.OTHER_SIGNATURE,
            SendAnswer.NOT_SENT,
        ]
        assert [sends.send_only for sends in log] == [False, True, True, True, True]
        assert {method for node in (relay, refusing, lying) for method, _ in node.requests} == {"sendTransaction"}
        assert "KEY" not in f"{log.detail()} {listener.lines}"


async def test_a_send_only_endpoint_on_the_host_of_a_node_has_a_name_of_its_own() -> None:
    chain = RpcChain([NOBODY], SystemClock(), RecordingListener(), sends=SendOptions(urls=[NOBODY]))
    async with open_chain(chain):
        log = SendLog()
        await chain.broadcast(SignedSwap(signature="sig", payload=b"bytes", last_valid_height=1), log)
        assert [sends.endpoint for sends in log] == ["127.0.0.1:1", "127.0.0.1:1 (sends)"]
