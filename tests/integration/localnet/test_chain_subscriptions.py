"""`logsSubscribe`, `rootSubscribe` and `slotsUpdatesSubscribe`: what each notifies of, and when."""

from pathlib import Path
from typing import Any

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from dexexec.localnet.blocks import Consensus
from tests.support.localnet.in_process import NO_PREFLIGHT, SOL, pay, run_localnet
from tests.support.localnet.sockets import Socket, socket_of

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
both_modes = pytest.mark.parametrize("consensus", list(Consensus))


async def results(socket: Socket) -> list[tuple[int, Any]]:
    """Subscription and result of each notification."""
    return [
        (message["params"]["subscription"], message["params"]["result"]) for message in await socket.notifications()
    ]


@both_modes
async def test_logs_come_once_for_each_transaction_that_is_named(tmp_path: Path, consensus: Consensus) -> None:
    async with run_localnet(tmp_path, consensus=consensus) as net, socket_of(net) as socket:
        wallet = await net.funded()
        await net.advance(40)
        everything = (await socket.call("logsSubscribe", "all", {"commitment": "processed"}))["result"]
        memos = (await socket.call("logsSubscribe", {"mentions": [str(MEMO)]}, {"commitment": "confirmed"}))["result"]
        first = await net.land([pay(wallet, Pubkey.new_unique(), SOL)], wallet)
        second = await net.land([Instruction(MEMO, b"hello", [])], wallet)
        slot = net.ledger.blocks.tip.slot
        found = await results(socket)
        assert [(number, result["value"]["signature"]) for number, result in found] == [
            (everything, str(first)),
            (everything, str(second)),
        ]
        assert found[0][1]["value"]["err"] is None
        assert found[0][1]["value"]["logs"][0] == f"Program {'1' * 32} invoke [1]"
        await net.advance(40)
        [(number, result)] = await results(socket)
        assert (number, result["context"], result["value"]["signature"]) == (memos, {"slot": slot}, str(second))
        assert "Program log: hello" in result["value"]["logs"]


async def test_logs_have_the_error_of_a_failed_transaction(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        wallet = await net.funded(SOL)
        await socket.call("logsSubscribe", {"mentions": [str(wallet.pubkey())]}, {"commitment": "processed"})
        transaction = await net.signed([pay(wallet, Pubkey.new_unique(), 5 * SOL)], wallet)
        await net.send(transaction, NO_PREFLIGHT)
        [(_, result)] = await results(socket)
        assert result["value"]["err"] == {"InstructionError": [0, {"Custom": 1}]}


@pytest.mark.parametrize("wanted", ["some", {"mentions": []}, {"mentions": [str(MEMO)] * 2}, {"mentions": ["x"]}, None])
async def test_logs_of_something_else_are_refused(tmp_path: Path, wanted: Any) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        assert (await socket.call("logsSubscribe", wanted))["error"]["code"] == -32602


@both_modes
async def test_each_root_is_notified_once(tmp_path: Path, consensus: Consensus) -> None:
    async with run_localnet(tmp_path, consensus=consensus) as net, socket_of(net) as socket:
        await net.advance(40)
        root = await net.rpc("getSlot")
        number = (await socket.call("rootSubscribe"))["result"]
        await net.advance(3)
        assert await results(socket) == [(number, root + 1), (number, root + 2), (number, root + 3)]
        assert (await socket.call("rootUnsubscribe", number))["result"] is True
        await net.advance(1)
        assert await results(socket) == []


async def test_each_step_of_a_slot_is_notified_with_its_time(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, consensus=Consensus.ALPENGLOW) as net, socket_of(net) as socket:
        await net.funded()
        slot = net.ledger.blocks.tip.slot
        number = (await socket.call("slotsUpdatesSubscribe"))["result"]
        await net.advance(1)
        updates = [result for subscription, result in await results(socket) if subscription == number]
        assert [(update["type"], update["slot"]) for update in updates] == [
            ("completed", slot),
            ("frozen", slot),
            ("firstShredReceived", slot + 1),
            ("createdBank", slot + 1),
            ("optimisticConfirmation", slot),
            ("root", slot),
        ]
        assert updates[1]["stats"]["numSuccessfulTransactions"] == 1
        assert updates[3]["parent"] == slot
        assert all(update["timestamp"] > 1_700_000_000_000 for update in updates)


async def test_a_signature_can_be_notified_when_it_is_received_too(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        wallet = await net.funded()
        transaction = await net.signed([pay(wallet, Pubkey.new_unique(), SOL)], wallet)
        options = {"commitment": "confirmed", "enableReceivedNotification": True}
        number = (await socket.call("signatureSubscribe", str(transaction.signatures[0]), options))["result"]
        await net.send(transaction)
        [(_, received)] = await results(socket)
        assert received["value"] == "receivedSignature"
        await net.advance(2)
        [(subscription, confirmed)] = await results(socket)
        assert (subscription, confirmed["value"]) == (number, {"err": None})
        assert (await socket.call("signatureUnsubscribe", number))["error"]["code"] == -32600
