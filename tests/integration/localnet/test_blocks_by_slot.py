"""Blocks by their slots: `getBlock` and its relatives, with a node's errors for slots that have none."""

from pathlib import Path
from typing import Any

import pytest
from solana.rpc.commitment import Finalized
from solders.pubkey import Pubkey

from dexexec.localnet.blocks import Consensus
from tests.support.localnet.in_process import SOL, InProcessLocalnet, RpcRefusedError, pay, run_localnet

VERSION = {"maxSupportedTransactionVersion": 0}


async def a_block(net: InProcessLocalnet) -> tuple[int, list[str]]:
    """A finalized block with an airdrop and a transfer: its slot, and their signatures."""
    await net.advance(3)
    wallet = await net.funded(10 * SOL)
    signature = await net.land([pay(wallet, Pubkey.new_unique(), SOL)], wallet)
    slot = net.ledger.blocks.tip.slot
    await net.advance(32)
    airdrop = (await net.client.get_signatures_for_address(wallet.pubkey(), commitment=Finalized)).value[-1]
    return slot, [str(airdrop.signature), str(signature)]


async def test_a_block_has_its_parent_its_time_and_its_transactions(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, now=lambda: 1_800_000_000) as net:
        slot, signatures = await a_block(net)
        block = await net.rpc("getBlock", slot, VERSION)
        parent = await net.rpc("getBlock", slot - 1, VERSION)
        assert (block["parentSlot"], block["blockHeight"], block["blockTime"]) == (slot - 1, slot, 1_800_000_000)
        assert block["previousBlockhash"] == parent["blockhash"] != block["blockhash"]
        assert [each["transaction"]["signatures"][0] for each in block["transactions"]] == signatures
        assert [each["version"] for each in block["transactions"]] == ["legacy", 0]
        for each, signature in zip(block["transactions"], signatures, strict=True):
            alone = await net.rpc("getTransaction", signature, VERSION)
            assert {**each, "slot": slot, "blockTime": 1_800_000_000} == alone
        genesis = await net.rpc("getBlock", 0)
        assert (genesis["parentSlot"], genesis["previousBlockhash"]) == (0, "1" * 32)


async def test_a_block_is_shown_in_as_much_detail_as_requested(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        slot, signatures = await a_block(net)
        with pytest.raises(RpcRefusedError, match=r"version \(0\) is not supported") as refused:
            await net.rpc("getBlock", slot)
        assert refused.value.code == -32015

        async def shown(details: str) -> Any:
            return await net.rpc("getBlock", slot, {**VERSION, "transactionDetails": details, "rewards": False})

        assert (await shown("signatures"))["signatures"] == signatures
        assert not (await shown("none")).keys() & {"transactions", "signatures", "rewards"}
        transfer = (await shown("accounts"))["transactions"][1]
        assert [key["signer"] for key in transfer["transaction"]["accountKeys"]] == [True, False, False]
        assert "innerInstructions" not in transfer["meta"]
        assert transfer["meta"]["fee"] == 5_000
        with pytest.raises(RpcRefusedError, match="transactionDetails must be one of"):
            await shown("all")


async def test_slots_without_a_block_have_a_nodes_errors(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(10)
        await net.rpc("localnet_fork", 3)
        await net.advance(40)
        tip = await net.rpc("getSlot", {"commitment": "processed"})
        confirmed = {"commitment": "confirmed"}
        skipped = "was skipped, or missing due to ledger jump"
        for method in ("getBlock", "getBlockTime"):
            for slot, code, words in ((10, -32007, skipped), (tip + 1, -32004, "Block not available for slot")):
                with pytest.raises(RpcRefusedError, match=words) as refused:
                    await net.rpc(method, slot)
                assert refused.value.code == code
        with pytest.raises(RpcRefusedError, match="not available"):
            await net.rpc("getBlock", tip - 5)
        assert (await net.rpc("getBlock", tip - 5, confirmed))["blockHeight"] == tip - 5 - 3
        with pytest.raises(RpcRefusedError, match="below `confirmed`"):
            await net.rpc("getBlock", 1, {"commitment": "processed"})
        assert await net.rpc("getBlocks", 7, 13) == [7, 8, 12, 13]
        assert await net.rpc("getBlocks", tip - 3, None, confirmed) == [tip - 3, tip - 2]
        assert await net.rpc("getBlocks", tip - 3, confirmed) == [tip - 3, tip - 2]
        assert await net.rpc("getBlocks", tip - 3) == []
        assert await net.rpc("getBlocksWithLimit", 8, 2) == [8, 12]
        assert await net.rpc("getFirstAvailableBlock") == await net.rpc("minimumLedgerSlot") == 0
        for method, params in (("getBlocks", [0, 500_001]), ("getBlocksWithLimit", [0, 500_001])):
            await net.rpc(method, *params[:1], 10)
        with pytest.raises(RpcRefusedError, match="Limit too large"):
            await net.rpc("getBlocksWithLimit", 0, 500_001)


async def test_performance_samples_count_slots_and_transactions_of_each_minute(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    async with run_localnet(tmp_path, now=lambda: now[0], consensus=Consensus.ALPENGLOW) as net:
        for _ in range(10):
            now[0] += 1
            await net.advance(1)
        await net.funded()
        [young] = await net.rpc("getRecentPerformanceSamples", 5)
        slot = net.ledger.blocks.tip.slot
        assert young == {
            "slot": slot,
            "numSlots": slot + 1,
            "numTransactions": 1,
            "numNonVoteTransactions": 1,
            "samplePeriodSecs": 10,
        }
        for _ in range(120):
            now[0] += 1
            await net.advance(1)
        samples = await net.rpc("getRecentPerformanceSamples")
        assert [(sample["numSlots"], sample["samplePeriodSecs"]) for sample in samples] == [(60, 60), (61, 60)]
        assert [sample["numTransactions"] for sample in samples] == [0, 1]
        assert await net.rpc("getRecentPerformanceSamples", 1) == samples[:1]
        with pytest.raises(RpcRefusedError, match="Invalid limit; max 720"):
            await net.rpc("getRecentPerformanceSamples", 721)
