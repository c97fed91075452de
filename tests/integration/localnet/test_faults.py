"""The localnet's faults, each as a client meets it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from solana.rpc.commitment import Processed
from solders.pubkey import Pubkey
from tornado.httpclient import HTTPClientError
from tornado.iostream import StreamClosedError

from tests.support.localnet.in_process import NO_PREFLIGHT, SOL, RpcRefusedError, encoded, pay, post, rpc, run_localnet

CALL = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "getSlot"})


async def test_without_leave_there_are_no_faults(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, allow_faults=False) as net:
        for method in ("localnet_setFaults", "localnet_getFaults", "localnet_fork", "localnet_advanceSlots"):
            with pytest.raises(RpcRefusedError, match="Method not found"):
                await net.rpc(method, 0)


async def test_dropped_transactions_are_answered_and_never_land(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        await net.set_faults(drop=1)
        assert await net.send(transaction) == transaction.signatures[0]
        await net.advance(5)
        assert await net.status(transaction.signatures[0], search=True) is None
        await net.send(transaction)
        assert await net.balance(friend) == SOL, "the next send of the same bytes lands"


async def test_late_transactions_land_after_their_slots_and_once(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        await net.set_faults(late={"transactions": 2, "slots": 5})
        await net.send(transaction)
        await net.advance(4)
        await net.send(transaction)
        assert await net.balance(friend) == 0
        await net.advance(1)
        assert await net.balance(friend) == SOL
        await net.advance(5)
        assert await net.balance(friend) == SOL
        assert (await net.status(transaction.signatures[0]))["slot"] == 6


async def test_a_late_transaction_whose_blockhash_expires_never_lands(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        await net.set_faults(late={"transactions": 1, "slots": 151})
        await net.land([pay(wallet, friend, SOL)], wallet)
        await net.advance(160)
        assert await net.balance(friend) == 0


async def test_a_transaction_can_land_while_its_answer_is_lost(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        lost = {"answer": "hangup", "methods": ["sendTransaction"], "execute": True, "requests": 2}
        await net.set_faults(answers=[lost])
        with pytest.raises(Exception, match="raised in") as unknown:
            await net.send(transaction)
        assert "SolanaRpcException" in type(unknown.value).__name__
        assert await net.balance(friend) == SOL


@pytest.mark.parametrize(("answer", "status"), [("429", 429), ("503", 503), ("garbage", 200)])
async def test_a_node_can_answer_wrongly_so_many_times(tmp_path: Path, answer: str, status: int) -> None:
    async with run_localnet(tmp_path) as net:
        await net.set_faults(answers=[{"answer": answer, "requests": 2}])
        for _ in range(2):
            response = await post(net.url, CALL)
            assert response.code == status
            with pytest.raises(json.JSONDecodeError):
                json.loads(response.body)
        assert json.loads((await post(net.url, CALL)).body)["result"] == 0


async def test_a_node_can_have_no_name_for_a_commitment(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.set_faults(refuses=["confirmed"])
        wallet = await net.funded()
        transaction = encoded(await net.signed([pay(wallet, Pubkey.new_unique(), SOL)], wallet))
        for method, params in (
            ("getSlot", [{"commitment": "confirmed"}]),
            ("sendTransaction", [transaction, {"encoding": "base64", "preflightCommitment": "confirmed"}]),
        ):
            with pytest.raises(
                RpcRefusedError, match="unknown variant `confirmed`, expected `processed` or `final"
            ) as it:
                await net.rpc(method, *params)
            assert it.value.code == -32602
        assert await net.rpc("getSlot", {"commitment": "finalized"}) == 0


async def test_a_node_can_report_that_it_is_unhealthy(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.set_faults(answers=[{"answer": "-32005", "methods": ["getSlot"]}])
        assert await net.rpc("getHealth") == "ok", "another method"
        with pytest.raises(RpcRefusedError, match="unhealthy") as refused:
            await net.rpc("getSlot")
        assert (refused.value.code, refused.value.data) == (-32005, {"numSlotsBehind": None})
        await net.set_faults(answers=[{"answer": "-32005", "methods": ["getSlot"]}])
        with pytest.raises(Exception, match="unhealthy"):
            await net.client.get_slot(Processed)


@pytest.mark.parametrize("code", [-32002, -32003, -32602])
async def test_a_front_can_pass_a_transaction_on_and_refuse_it(tmp_path: Path, code: int) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        await net.set_faults(answers=[{"answer": str(code), "methods": ["sendTransaction"], "execute": True}])
        with pytest.raises(RpcRefusedError) as refused:
            await net.rpc("sendTransaction", encoded(transaction), {"encoding": "base64", "skipPreflight": True})
        assert refused.value.code == code
        assert await net.balance(friend) == SOL


async def test_a_front_can_answer_with_the_signature_of_another_transaction(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        await net.set_faults(answers=[{"answer": "another", "methods": ["sendTransaction"], "execute": True}])
        answered = await net.rpc("sendTransaction", encoded(transaction), {"encoding": "base64", "skipPreflight": True})
        assert answered != str(transaction.signatures[0])
        assert await net.balance(friend) == SOL


async def test_a_node_can_hang_until_the_client_gives_up(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.set_faults(answers=[{"answer": "hang"}])
        waiting = asyncio.ensure_future(post(net.url, CALL))
        while (await net.rpc("localnet_getFaults"))["answers"]:
            await asyncio.sleep(0)
        assert not waiting.done()
        assert await net.rpc("getSlot") == 0, "others are served"
        waiting.cancel()


async def test_a_node_can_hang_up(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.set_faults(answers=[{"answer": "hangup"}])
        with pytest.raises((HTTPClientError, StreamClosedError)):
            await post(net.url, CALL)


async def test_a_lagging_node_sees_an_older_chain_and_is_known_by_its_height(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(200)
        wallet = await net.funded(SOL)
        signature = (await net.client.request_airdrop(wallet.pubkey(), SOL)).value
        behind = f"{net.url}/nodes/behind"
        await rpc(behind, "localnet_setFaults", {"lag": 10})
        processed = {"commitment": "processed"}

        async def read_state() -> tuple[Any, ...]:
            return (
                await rpc(behind, "getBlockHeight", processed),
                (await rpc(behind, "getBalance", str(wallet.pubkey()), processed))["value"],
                (await rpc(behind, "getSignatureStatuses", [str(signature)]))["value"][0],
            )

        assert await read_state() == (191, 0, None)
        assert await net.rpc("getBlockHeight", processed) == 201, "the first node does not lag"
        await net.advance(10)
        height, balance, status = await read_state()
        assert (height, balance, status["confirmationStatus"]) == (201, 2 * SOL, "processed")
        assert await rpc(behind, "getHealth") == "ok"
        await rpc(behind, "localnet_setFaults", {"lag": 129})
        with pytest.raises(RpcRefusedError, match="behind by 129 slots") as refused:
            await rpc(behind, "getHealth")
        assert (refused.value.code, refused.value.data) == (-32005, {"numSlotsBehind": 129})


async def test_what_is_sent_to_a_lagging_node_lands_at_the_tip(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        await net.advance(50)
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        await net.set_faults(lag=20)
        with pytest.raises(Exception, match="BlockhashNotFound"):
            await net.send(transaction)
        await net.send(transaction, NO_PREFLIGHT)
        assert await net.balance(friend) == 0
        await net.set_faults()
        assert await net.balance(friend) == SOL


async def test_a_node_forgets_statuses(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        signature = (await net.client.request_airdrop(Pubkey.new_unique(), SOL)).value
        await net.advance(2)
        options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}

        async def found() -> list[bool]:
            answers = [
                await net.status(signature),
                await net.status(signature, search=True),
                await net.rpc("getTransaction", str(signature), options),
            ]
            return [answer is not None for answer in answers]

        assert await found() == [True, True, True]
        await net.set_faults(forgets="recent")
        assert await found() == [False, True, True]
        await net.set_faults(forgets="all")
        assert await found() == [False, False, False]


async def test_without_faults_a_status_is_recent_for_300_slots(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        signature = (await net.client.request_airdrop(Pubkey.new_unique(), SOL)).value
        await net.advance(300)
        assert await net.status(signature) is not None
        await net.advance(1)
        assert await net.status(signature) is None
        assert (await net.status(signature, search=True))["confirmationStatus"] == "finalized"


async def test_a_fork_takes_back_what_landed_and_the_same_bytes_can_land_again(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        await net.advance(2)
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        await net.advance(3)
        await net.send(transaction)
        await net.land([pay(wallet, friend, 2 * SOL)], wallet)
        await net.advance(2)
        assert (await net.status(transaction.signatures[0]))["confirmationStatus"] == "confirmed"
        gone = (await net.rpc("localnet_fork", 3))["unconfirmed"]
        assert len(gone) == 2
        assert await net.status(transaction.signatures[0], search=True) is None
        assert (await net.balance(friend), await net.balance(wallet.pubkey())) == (0, 10 * SOL)
        assert await net.rpc("getSlot", {"commitment": "processed"}) == 9, "above the slots that are gone"
        assert await net.rpc("getBlockHeight", {"commitment": "processed"}) == 6
        await net.send(transaction)
        assert await net.balance(friend) == SOL


async def test_a_transaction_of_a_blockhash_that_a_fork_took_away_can_never_land(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        await net.advance(5)
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        await net.rpc("localnet_fork", 1)
        await net.send(transaction, NO_PREFLIGHT)
        assert await net.balance(friend) == 0


async def test_a_bad_fault_is_refused_and_the_old_ones_stay(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.set_faults(drop=4)
        with pytest.raises(RpcRefusedError, match="drop: must be an integer"):
            await net.set_faults(drop="many")
        assert (await net.rpc("localnet_getFaults"))["drop"] == 4
