"""Sending through `RpcChain`: only what is certain is refused, and what may be on its way is unknown."""

from dataclasses import replace
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.solana import ProgramFailure
from dexexec.domain.swap import Accepted, Landed, NotSeen, Rejected, Unknown
from tests.integration.localnet import SOL, pay, running
from tests.integration.rpc_nodes import chain_of, faults, opened, patience, scripted, transfer, wrong

NOBODY = "http://127.0.0.1:1"
"""Nothing listens there."""


@pytest.mark.parametrize("answer", ["hangup", "hang", "garbage", "503"])
async def test_a_swap_that_landed_while_its_answer_was_lost_is_unknown_and_then_found(
    tmp_path: Path, answer: str
) -> None:
    async with running(tmp_path) as net, opened(chain_of(net.url, patience=patience(answer))) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await faults(net.url, answers=wrong(answer, "sendTransaction", execute=True))
        assert isinstance(await chain.submit(swap, first=True), Unknown)
        await faults(net.url)
        await net.advance(2)
        assert isinstance((await chain.status([swap.signature]))[0], Landed)
        assert await chain.submit(swap) == Accepted()


async def test_a_swap_that_fails_the_check_before_sending_is_refused_and_went_nowhere(tmp_path: Path) -> None:
    async with running(tmp_path) as net, opened(chain_of(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await transfer(chain, wallet, Pubkey.new_unique(), 100 * SOL)
        answer = await chain.submit(swap, first=True)
        text = "custom program error: 0x1"
        failure = ProgramFailure(0, "11111111111111111111111111111111", 1, text)
        assert answer == Rejected("program-error", f"instruction 0 ({failure.program}) failed: {text}", failure)
        await net.advance(2)
        assert isinstance((await chain.status([swap.signature]))[0], NotSeen)


async def test_a_refusal_after_another_node_may_have_the_bytes_proves_nothing(tmp_path: Path) -> None:
    """The first node passes them on and does not answer; the second finds that they would fail."""
    async with running(tmp_path) as net:
        wallet, other = await net.funded(2 * SOL), Pubkey.new_unique()
        await net.advance(2)
        silent = f"{net.url}/nodes/silent"
        async with opened(chain_of(silent, net.url)) as chain:
            swap = await transfer(chain, wallet, other, SOL * 3 // 2)
            await faults(
                silent, late={"transactions": 1, "slots": 1}, answers=wrong("503", "sendTransaction", execute=True)
            )
            await net.land([pay(wallet, Pubkey.new_unique(), SOL)], wallet)
            await net.advance(2)
            answer = await chain.submit(swap, first=True)
            assert isinstance(answer, Unknown)
            assert "custom program error" in answer.detail


async def test_a_refusal_after_a_node_that_was_never_reached_is_one(tmp_path: Path) -> None:
    async with running(tmp_path) as net, opened(chain_of(NOBODY, net.url)) as chain, opened(chain_of(net.url)) as good:
        wallet = await net.funded()
        await net.advance(2)
        swap = await transfer(good, wallet, Pubkey.new_unique(), 100 * SOL)
        assert isinstance(await chain.submit(swap, first=True), Rejected)


async def test_a_resend_is_never_refused_whatever_the_nodes_say(tmp_path: Path) -> None:
    async with running(tmp_path) as net, opened(chain_of(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await transfer(chain, wallet, Pubkey.new_unique(), SOL)
        malformed = replace(swap, payload=swap.payload[:-1])
        refused, again = await chain.submit(malformed, first=True), await chain.submit(malformed)
        assert isinstance(refused, Rejected)
        assert refused.code == "malformed"
        assert isinstance(again, Unknown)


async def test_a_wrong_signature_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as net, opened(chain_of(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(2)
        swap = await transfer(chain, wallet, Pubkey.new_unique(), SOL)
        forged = replace(swap, payload=bytes([1]) + bytes(64) + swap.payload[65:])
        answer = await chain.submit(forged, first=True)
        assert isinstance(answer, Rejected)
        assert answer.code == "bad-signature"


async def test_a_blockhash_that_a_lagging_node_does_not_know_yet_is_no_refusal(tmp_path: Path) -> None:
    async with running(tmp_path) as net, opened(chain_of(net.url)) as chain:
        wallet = await net.funded()
        await net.advance(50)
        swap = await transfer(chain, wallet, Pubkey.new_unique(), SOL)
        await faults(net.url, lag=20)
        assert isinstance(await chain.submit(swap, first=True), Unknown)
        async with opened(chain_of(net.url, f"{net.url}/nodes/current")) as both:
            assert await both.submit(swap, first=True) == Accepted(), "the next node is asked, and knows it"


async def test_a_resend_goes_to_every_node(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as net,
        scripted(net.url) as one,
        scripted(net.url) as two,
        opened(chain_of(one.url, two.url)) as chain,
    ):
        wallet = await net.funded()
        await net.advance(2)
        swap = await transfer(chain, wallet, Pubkey.new_unique(), SOL)
        assert await chain.submit(swap, first=True) == Accepted()
        assert one.count("sendTransaction") + two.count("sendTransaction") == 1
        assert await chain.submit(swap) == Accepted()
        assert one.count("sendTransaction") + two.count("sendTransaction") == 3
        sent = [params[1] for script in (one, two) for method, params in script.asked if method == "sendTransaction"]
        assert all(options["maxRetries"] == 0 for options in sent)
        assert sorted(options["skipPreflight"] for options in sent) == [False, True, True]
