"""The localnet's JSON-RPC and WebSocket as protocols: batches, errors, HTTP, subscriptions."""

import json
from pathlib import Path
from typing import Any

import pytest
from solana.rpc.commitment import Confirmed, Processed
from solana.rpc.websocket_api import SolanaWsClient
from solders.hash import Hash
from solders.pubkey import Pubkey
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

from tests.support.localnet.in_process import SOL, RpcRefusedError, pay, post, run_localnet

CALL = {"jsonrpc": "2.0", "id": 7, "method": "getHealth"}


async def test_a_batch_is_answered_in_order_without_the_notifications(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        silent = {"jsonrpc": "2.0", "method": "getHealth"}
        response = await post(net.url, json.dumps([CALL, silent, {**CALL, "id": "x", "method": "no"}, 3]))
        assert json.loads(response.body) == [
            {"jsonrpc": "2.0", "result": "ok", "id": 7},
            {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "x"},
            {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid request"}, "id": None},
        ]
        assert (await post(net.url, json.dumps(silent))).body == b""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", -32700),
        (b"\xff\xfe", -32700),
        ("[" * 100_000, -32700),
        ("[]", -32600),
        ("3", -32600),
        ('{"id": 1, "method": "getHealth"}', -32600),
        ('{"jsonrpc": "2.0", "id": 1}', -32600),
        ('{"jsonrpc": "2.0", "id": 1, "method": "localnet_fork", "params": [1]}', -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "getHealth", "params": {}}', -32602),
    ],
)
async def test_what_is_no_request_gets_its_error_code(tmp_path: Path, body: str | bytes, code: int) -> None:
    async with run_localnet(tmp_path, allow_faults=False) as net:
        response = await post(net.url, body)
        assert (response.code, json.loads(response.body)["error"]["code"]) == (200, code)


KEY = str(Pubkey.new_unique())


@pytest.mark.parametrize(
    ("method", "params", "problem"),
    [
        ("getBalance", [], "address must be a string"),
        ("getBalance", ["x"], "address: 'x' is not a public key"),
        ("getBalance", [KEY, {"commitment": "sure"}], "commitment must be one of processed, confirmed, finalized"),
        ("getBalance", [KEY, "finalized"], "options must be an object"),
        ("getAccountInfo", [KEY, {"encoding": "hex"}], "encoding must be one of"),
        ("getAccountInfo", [KEY, {"dataSlice": {"offset": -1, "length": 3}}], "dataSlice must be"),
        ("getMultipleAccounts", [[KEY] * 101], "Too many inputs provided; max 100"),
        ("getProgramAccounts", [KEY, {"filters": [{"memcmp": {"offset": 0, "bytes": "0"}}]}], "memcmp.bytes"),
        ("getProgramAccounts", [KEY, {"filters": [{"dataSize": 1}] * 5}], "Too many filters"),
        (
            "getProgramAccounts",
            [KEY, {"filters": [{"memcmp": {"offset": 0, "bytes": "1" * 200}}]}],
            "at most 128 bytes",
        ),
        ("sendTransaction", ["11", {"encoding": ["base64"]}], "encoding must be base58 or base64"),
        ("getTokenAccountsByOwner", [KEY, {}], "give either"),
        ("getTokenAccountsByOwner", [KEY, {"mint": KEY}], "could not find mint"),
        ("getSignatureStatuses", [["x"]], "not a signature"),
        ("getTransaction", ["1" * 64, {"commitment": "processed"}], "does not support commitment below"),
        ("sendTransaction", ["0"], "invalid base58 encoding"),
        ("sendTransaction", ["****", {"encoding": "base64"}], "invalid base64 encoding"),
        ("sendTransaction", ["AAAA", {"encoding": "base64"}], "failed to deserialize"),
        ("sendTransaction", ["A" * 1_648, {"encoding": "base64"}], "too large"),
        ("sendTransaction", ["11", {"encoding": "hex"}], "encoding must be base58 or base64"),
        ("requestAirdrop", [KEY, -1], "lamports must be an integer"),
        ("getBlockTime", ["now"], "slot must be an integer"),
    ],
)
async def test_a_bad_parameter_is_named(tmp_path: Path, method: str, params: list[Any], problem: str) -> None:
    async with run_localnet(tmp_path) as net:
        with pytest.raises(RpcRefusedError) as refused:
            await net.rpc(method, *params)
        assert refused.value.code == -32602
        assert problem in refused.value.message


async def test_the_node_and_its_blocks_are_described(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(39)
        assert (await net.client.get_slot(Processed)).value == 40
        assert (await net.client.get_genesis_hash()).value == Hash.from_string(net.ledger.genesis_hash)
        epoch = (await net.client.get_epoch_info(Processed)).value
        assert (epoch.absolute_slot, epoch.slot_index, epoch.epoch, epoch.slots_in_epoch) == (40, 40, 0, 432_000)
        assert (await net.client.get_block_time(3)).value == net.ledger.blocks.newest(41)[-4].time
        with pytest.raises(RpcRefusedError, match="Block not available for slot 99") as refused:
            await net.rpc("getBlockTime", 99)
        assert refused.value.code == -32004
        with pytest.raises(RpcRefusedError, match="Minimum context slot") as refused:
            await net.rpc("getBalance", KEY, {"minContextSlot": 30})
        assert (refused.value.code, refused.value.data) == (-32016, {"contextSlot": 8})
        assert len((await net.client.get_recent_prioritization_fees()).value) == 41
        assert (await net.client.get_minimum_balance_for_rent_exemption(165)).value == 2_039_280


async def test_rent_is_as_it_was_chosen_and_the_sysvar_shows_it(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, lamports_per_byte=5_080) as net:
        assert await net.rpc("getMinimumBalanceForRentExemption", 165) == 293 * 5_080 == 1_488_440
        options = {"encoding": "jsonParsed"}
        sysvar = await net.rpc("getAccountInfo", "SysvarRent111111111111111111111111111111111", options)
        assert sysvar["value"]["data"]["parsed"]["info"]["lamportsPerByteYear"] == "5080"
        await net.rpc("requestAirdrop", KEY, 128 * 5_080)
        with pytest.raises(RpcRefusedError, match="rent-exempt"):
            await net.rpc("requestAirdrop", str(Pubkey.new_unique()), 128 * 5_080 - 1)


async def test_an_airdrop_below_rent_is_an_error(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        with pytest.raises(RpcRefusedError, match="rent-exempt") as refused:
            await net.rpc("requestAirdrop", KEY, 1)
        assert refused.value.code == -32603


async def test_http_is_for_json_by_post_at_one_path(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, allow_faults=False) as net:
        assert (await post(net.url, "{}", {"Content-Type": "text/plain"})).code == 415
        assert (await post(f"{net.url}/nodes/b", json.dumps(CALL))).code == 404
        client = AsyncHTTPClient(force_instance=True)
        assert (await client.fetch(f"{net.url}/health")).body == b"ok"
        assert (await client.fetch(net.url, raise_error=False)).code == 405
        allowed = await client.fetch(net.url, method="OPTIONS")
        assert (allowed.code, allowed.headers["Access-Control-Allow-Origin"]) == (204, "*")
        client.close()


async def test_a_signature_is_notified_once_when_it_reaches_the_commitment(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, SolanaWsClient(net.url.replace("http", "ws")) as socket:
        wallet = await net.funded()
        transaction = await net.signed([pay(wallet, Pubkey.new_unique(), SOL)], wallet)
        early = await socket.signature_subscribe(signature=transaction.signatures[0], commitment=Processed)
        later = await socket.signature_subscribe(signature=transaction.signatures[0], commitment=Confirmed)
        await net.send(transaction)
        notification: Any = await socket.recv()
        assert (notification.subscription, notification.result.value.err) == (early.subscription_id, None)
        await net.advance(1)
        await net.advance(1)
        notification = await socket.recv()
        assert (notification.subscription, notification.result.context.slot) == (later.subscription_id, 1)


async def test_a_signature_that_landed_before_is_notified_at_once(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, SolanaWsClient(net.url.replace("http", "ws")) as socket:
        signature = (await net.client.request_airdrop(Pubkey.new_unique(), SOL)).value
        subscription = await socket.signature_subscribe(signature=signature, commitment=Processed)
        assert (await socket.recv()).subscription == subscription.subscription_id


async def test_slots_are_notified_until_the_client_unsubscribes(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        socket = await websocket_connect(net.url.replace("http", "ws"))

        async def call(method: str, *params: Any) -> Any:
            await socket.write_message(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            return await read()

        async def read() -> Any:
            message = await socket.read_message()
            assert message is not None
            return json.loads(message)

        number = (await call("slotSubscribe"))["result"]
        await net.advance(2)
        notification = [(await read())["params"] for _ in range(2)]
        assert notification == [
            {"subscription": number, "result": {"slot": slot, "parent": slot - 1, "root": 0}} for slot in (2, 3)
        ]
        assert (await call("slotUnsubscribe", number))["result"] is True
        await net.advance(1)
        again = await call("slotUnsubscribe", number)
        assert again["error"]["message"] == "Invalid subscription id."
        assert (await call("getSlot"))["error"]["code"] == -32601, "sockets are for subscriptions"
        await socket.write_message("{")
        assert (await read())["error"]["code"] == -32700
        socket.close()
        assert await socket.read_message() is None
