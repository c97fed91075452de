"""Methods about the cluster, its supply and its fees: one validator leads every slot, and there is no inflation."""

import base64
from pathlib import Path
from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, TransactionConfig, VersionedMessage, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dexexec.domain.token import USDC
from dexexec.settlement.solana.transaction import associated_token_account
from tests.support.localnet.in_process import (
    NO_PREFLIGHT,
    SOL,
    InProcessLocalnet,
    RpcRefusedError,
    pay,
    run_localnet,
)

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
APPROVE = b"\x04"
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


async def test_one_validator_leads_every_slot_without_votes(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(40)
        [node] = await net.rpc("getClusterNodes")
        identity = node["pubkey"]
        assert (await net.rpc("getIdentity"))["identity"] == identity
        assert await net.rpc("getSlotLeader") == identity
        assert await net.rpc("getSlotLeaders", 5, 3) == [identity] * 3
        schedule = await net.rpc("getLeaderSchedule")
        assert (len(schedule[identity]), schedule[identity][:2]) == (432_000, [0, 1])
        assert await net.rpc("getLeaderSchedule", None, {"identity": str(Pubkey.new_unique())}) == {}
        assert await net.rpc("getLeaderSchedule", 10**9) is None
        assert await net.rpc("getVoteAccounts") == {"current": [], "delinquent": []}
        produced = (await net.rpc("getBlockProduction", {"range": {"firstSlot": 2, "lastSlot": 5}}))["value"]
        assert produced == {"byIdentity": {identity: [4, 4]}, "range": {"firstSlot": 2, "lastSlot": 5}}
        assert (await net.rpc("getBlockCommitment", 3)) == {"commitment": None, "totalStake": 0}
        newest = await net.rpc("getSlot", {"commitment": "processed"})
        assert await net.rpc("getMaxShredInsertSlot") == await net.rpc("getMaxRetransmitSlot") == newest
        assert (await net.rpc("getEpochSchedule"))["slotsPerEpoch"] == 432_000
        assert (await net.rpc("getInflationRate"))["total"] == 0
        assert (await net.rpc("getInflationGovernor"))["initial"] == 0
        assert await net.rpc("getInflationReward", [identity]) == [None]
        assert (await net.rpc("getStakeMinimumDelegation"))["value"] == 1
        with pytest.raises(RpcRefusedError, match="No snapshot") as refused:
            await net.rpc("getHighestSnapshotSlot")
        assert refused.value.code == -32008
        for method, params in (
            ("getSlotLeaders", [0, 5_001]),
            ("getBlockProduction", [{"range": {"firstSlot": 9, "lastSlot": 3}}]),
            ("getLargestAccounts", [{"filter": "rich"}]),
            ("getTokenLargestAccounts", [identity]),
        ):
            with pytest.raises(RpcRefusedError) as refused:
                await net.rpc(method, *params)
            assert refused.value.code == -32602


async def test_the_largest_accounts_and_the_supply_are_those_of_the_commitment(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        rich = (await net.funded(5_000 * SOL)).pubkey()
        processed = {"commitment": "processed"}
        supply = (await net.rpc("getSupply", processed))["value"]
        assert supply["total"] == supply["circulating"] + supply["nonCirculating"]
        assert supply["circulating"] >= 5_000 * SOL
        largest = (await net.rpc("getLargestAccounts", processed | {"filter": "circulating"}))["value"]
        assert largest[0] == {"address": str(rich), "lamports": 5_000 * SOL}
        [faucet] = (await net.rpc("getLargestAccounts", processed | {"filter": "nonCirculating"}))["value"]
        assert [faucet["address"]] == supply["nonCirculatingAccounts"]
        earlier = (await net.rpc("getLargestAccounts", {"filter": "circulating"}))["value"]
        assert str(rich) not in {entry["address"] for entry in earlier}


async def test_the_largest_and_the_delegated_accounts_of_a_token_are_found(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        owners = [Keypair() for _ in range(3)]
        for owner, amount in zip(owners, (5, 9_000_000, 7), strict=True):
            await net.rpc("localnet_fund", str(owner.pubkey()), USDC, 6, amount)
        processed = {"commitment": "processed", "encoding": "jsonParsed"}
        held = (await net.rpc("getTokenLargestAccounts", USDC, processed))["value"]
        assert [entry["amount"] for entry in held] == ["9000000", "7", "5"]
        assert (held[0]["address"], held[0]["uiAmount"]) == (associated(owners[1]), 9.0)
        await net.client.request_airdrop(owners[1].pubkey(), SOL)
        delegate = Pubkey.new_unique()
        await net.land([approve(owners[1], delegate, 100)], owners[1])
        given = await net.rpc("getTokenAccountsByDelegate", str(delegate), {"mint": USDC}, processed)
        [account] = given["value"]
        assert account["pubkey"] == associated(owners[1])
        assert account["account"]["data"]["parsed"]["info"]["delegatedAmount"]["amount"] == "100"


def associated(owner: Keypair) -> str:
    return associated_token_account(str(owner.pubkey()), USDC)


def approve(owner: Keypair, delegate: Pubkey, amount: int) -> Instruction:
    source = AccountMeta(Pubkey.from_string(associated(owner)), False, True)
    keys = [source, AccountMeta(delegate, False, False), AccountMeta(owner.pubkey(), True, False)]
    return Instruction(TOKEN, APPROVE + amount.to_bytes(8, "little"), keys)


def messages(wallet: Keypair, blockhash: Any) -> list[VersionedMessage]:
    """One of each version, with and without a budget."""
    transfer, memo = pay(wallet, Pubkey.new_unique(), SOL), Instruction(MEMO, b"x", [])
    price, limit = set_compute_unit_price(1_234_567), set_compute_unit_limit(77_777)
    config = TransactionConfig(4_321, 100_000, 1_000_000)
    steps = [[transfer], [transfer, memo, price], [limit, price, transfer, memo], [limit, transfer, memo]]
    return [
        *(MessageV0.try_compile(wallet.pubkey(), each, [], blockhash) for each in steps),
        Message.new_with_blockhash(steps[1], wallet.pubkey(), blockhash),
        MessageV1.try_compile(wallet.pubkey(), [transfer, memo], blockhash, config),
    ]


async def fee_for(net: InProcessLocalnet, message: VersionedMessage) -> Any:
    encoded = base64.b64encode(to_bytes_versioned(message)).decode()
    return (await net.rpc("getFeeForMessage", encoded, {"commitment": "processed"}))["value"]


@pytest.mark.parametrize("which", range(6))
async def test_the_fee_for_a_message_is_what_is_charged_when_it_lands(tmp_path: Path, which: int) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        message = messages(wallet, await net.blockhash())[which]
        fee = await fee_for(net, message)
        before = await net.balance(wallet.pubkey())
        await net.send(VersionedTransaction(message, [wallet]), NO_PREFLIGHT)
        assert await net.balance(wallet.pubkey()) == before - SOL - fee
        await net.advance(151)
        assert await fee_for(net, message) is None, "its blockhash is too old"


async def test_a_message_that_cannot_be_read_has_no_fee(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        for text in ("", "AAAA", "!", "A" * 9_000):
            with pytest.raises(RpcRefusedError) as refused:
                await net.rpc("getFeeForMessage", text)
            assert refused.value.code == -32602
