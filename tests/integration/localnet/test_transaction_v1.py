"""Version 1 transactions: executed under the rules of SIMD-0385, shown only to clients that accept the version."""

from pathlib import Path
from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV1, TransactionConfig
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from tests.support.localnet.in_process import (
    NO_PREFLIGHT,
    SOL,
    InProcessLocalnet,
    RpcRefusedError,
    encoded,
    pay,
    run_localnet,
    sign,
)

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
ENOUGH = TransactionConfig(compute_unit_limit=100_000, loaded_accounts_data_size_limit=1_000_000)
TRANSFER_UNITS = 150


async def signed_v1(
    net: InProcessLocalnet, wallet: Keypair, steps: list[Instruction], config: TransactionConfig | None = ENOUGH
) -> VersionedTransaction:
    message = MessageV1.try_compile(wallet.pubkey(), steps, await net.blockhash(), config)
    return VersionedTransaction(message, [wallet])


async def shown(net: InProcessLocalnet, transaction: VersionedTransaction, **options: Any) -> Any:
    """`getTransaction` once it is confirmed."""
    await net.advance(2)
    return await net.rpc("getTransaction", str(transaction.signatures[0]), {"commitment": "confirmed", **options})


async def test_it_lands_pays_the_priority_fee_in_lamports_and_is_shown_as_version_1(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(10 * SOL), Pubkey.new_unique()
        config = TransactionConfig(1_234, 100_000, 1_000_000, 64 * 1024)
        transaction = await signed_v1(net, wallet, [pay(wallet, friend, SOL)], config)
        await net.send(transaction)
        assert (await net.balance(wallet.pubkey()), await net.balance(friend)) == (9 * SOL - 6_234, SOL)
        for version in (None, 0):
            with pytest.raises(RpcRefusedError, match=r"version \(1\) is not supported") as refused:
                await shown(net, transaction, maxSupportedTransactionVersion=version)
            assert refused.value.code == -32015
        found = await shown(net, transaction, maxSupportedTransactionVersion=1)
        assert found["version"] == 1
        assert found["transaction"]["message"]["transactionConfig"] == {
            "priorityFee": 1_234,
            "computeUnitLimit": 100_000,
            "loadedAccountsDataSizeLimit": 1_000_000,
            "heapSize": 65_536,
        }
        meta = found["meta"]
        assert (meta["fee"], meta["computeUnitsConsumed"], meta["innerInstructions"]) == (6_234, TRANSFER_UNITS, [])
        assert meta["logMessages"] == [f"Program {'1' * 32} invoke [1]", f"Program {'1' * 32} success"]
        assert meta["preBalances"][0] - meta["postBalances"][0] == SOL + 6_234
        raw = await shown(net, transaction, maxSupportedTransactionVersion=1, encoding="base64")
        assert raw["transaction"] == [encoded(transaction), "base64"]


async def test_it_may_have_4096_bytes_where_others_have_1232(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        memo = Instruction(MEMO, b"x" * 3_900, [])
        transaction = await signed_v1(net, wallet, [memo], TransactionConfig(None, 1_000_000, 1_000_000))
        assert 4_000 < len(bytes(transaction)) <= 4_096
        await net.send(transaction)
        assert (await net.status(transaction.signatures[0]))["err"] is None
        longer = await signed_v1(net, wallet, [Instruction(MEMO, b"x" * 4_000, [])])
        with pytest.raises(RpcRefusedError, match="too large"):
            await net.rpc("sendTransaction", encoded(longer), {"encoding": "base64"})
        other = sign([Instruction(MEMO, b"x" * 1_200, [])], wallet, blockhash=await net.blockhash())
        with pytest.raises(RpcRefusedError, match="1232"):
            await net.rpc("sendTransaction", encoded(other), {"encoding": "base64"})
        with pytest.raises(RpcRefusedError, match="bytes behind it"):
            await net.rpc("sendTransaction", encoded(bytes(transaction) + b"\0"), {"encoding": "base64"})


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (TransactionConfig(5, 149, 1_000_000), {"InstructionError": [0, "ComputationalBudgetExceeded"]}),
        (TransactionConfig(5, None, 1_000_000), {"InstructionError": [0, "ComputationalBudgetExceeded"]}),
        (TransactionConfig(5, 100_000, 64), "MaxLoadedAccountsDataSizeExceeded"),
        (TransactionConfig(5, 100_000, None), "MaxLoadedAccountsDataSizeExceeded"),
    ],
)
async def test_what_it_does_not_request_it_may_not_use_and_a_failure_pays_the_whole_fee(
    tmp_path: Path, config: TransactionConfig, error: Any
) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded(10 * SOL)
        transaction = await signed_v1(net, wallet, [pay(wallet, Pubkey.new_unique(), SOL)], config)
        options = {"encoding": "base64", "commitment": "processed"}
        simulated = (await net.rpc("simulateTransaction", encoded(transaction), options))["value"]
        assert simulated["err"] == error
        await net.send(transaction, NO_PREFLIGHT)
        assert (await net.status(transaction.signatures[0]))["err"] == error
        assert await net.balance(wallet.pubkey()) == 10 * SOL - 5_005


async def test_exactly_what_it_requests_is_enough_and_compute_budget_instructions_do_nothing(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(10 * SOL), Pubkey.new_unique()
        limit = TransactionConfig(compute_unit_limit=2 * TRANSFER_UNITS, loaded_accounts_data_size_limit=1_000)
        transaction = await signed_v1(net, wallet, [set_compute_unit_limit(1), pay(wallet, friend, SOL)], limit)
        await net.send(transaction)
        meta = (await shown(net, transaction, maxSupportedTransactionVersion=1))["meta"]
        assert (meta["err"], meta["computeUnitsConsumed"], meta["fee"]) == (None, 300, 5_000)
        assert len(meta["logMessages"]) == 4


async def test_a_payer_who_cannot_pay_leaves_no_trace(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded(SOL)
        config = TransactionConfig(SOL - 4_999, 100_000, 1_000_000)
        transaction = await signed_v1(net, wallet, [Instruction(MEMO, b"x", [])], config)
        await net.send(transaction, NO_PREFLIGHT)
        assert await net.status(transaction.signatures[0]) is None
        assert await net.balance(wallet.pubkey()) == SOL
        rent = TransactionConfig(SOL - 5_001, 100_000, 1_000_000)
        transaction = await signed_v1(net, wallet, [Instruction(MEMO, b"x", [])], rent)
        options = {"encoding": "base64", "commitment": "processed"}
        simulated = (await net.rpc("simulateTransaction", encoded(transaction), options))["value"]
        assert simulated["err"] == {"InsufficientFundsForRent": {"account_index": 0}}
        stranger = await signed_v1(net, Keypair(), [Instruction(MEMO, b"x", [])])
        simulated = (await net.rpc("simulateTransaction", encoded(stranger), options))["value"]
        assert simulated["err"] == "AccountNotFound"
        assert await net.balance(wallet.pubkey()) == SOL, "a simulation changes nothing"


async def test_its_signatures_and_its_form_are_checked(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        good = await signed_v1(net, wallet, [pay(wallet, Pubkey.new_unique(), 1)])
        forged = VersionedTransaction.populate(good.message, [Keypair().sign_message(b"another")])
        with pytest.raises(RpcRefusedError, match="signature verification failure"):
            await net.rpc("sendTransaction", encoded(forged), {"encoding": "base64"})
        await net.rpc("sendTransaction", encoded(forged), {"encoding": "base64", "skipPreflight": True})
        assert await net.status(forged.signatures[0]) is None
        odd = await signed_v1(net, wallet, [pay(wallet, wallet.pubkey(), 1)], TransactionConfig(heap_size=33_000))
        with pytest.raises(RpcRefusedError, match="failed to deserialize"):
            await net.rpc("sendTransaction", encoded(odd), {"encoding": "base64"})


async def test_what_a_simulation_loads_and_uses_is_exactly_enough_to_land(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(10 * SOL), Pubkey.new_unique()
        steps = [pay(wallet, friend, SOL), Instruction(MEMO, b"hello", [])]
        options = {"encoding": "base64", "commitment": "processed"}
        most = TransactionConfig(None, 1_400_000, 64 * 1024 * 1024)
        trial = await signed_v1(net, wallet, steps, most)
        simulated = (await net.rpc("simulateTransaction", encoded(trial), options))["value"]
        assert simulated["fee"] == 5_000
        units, size = simulated["unitsConsumed"], simulated["loadedAccountsDataSize"]
        for less in (1, 0):
            limits = TransactionConfig(None, units, size - less)
            transaction = await signed_v1(net, wallet, steps, limits)
            await net.send(transaction, NO_PREFLIGHT)
            error = (await net.status(transaction.signatures[0]))["err"]
            assert error == ("MaxLoadedAccountsDataSizeExceeded" if less else None)


async def test_a_simulation_can_replace_the_blockhash(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        keys = [AccountMeta(wallet.pubkey(), True, True)]
        transaction = await signed_v1(net, wallet, [Instruction(MEMO, b"x", keys)])
        await net.advance(200)
        options = {"encoding": "base64", "commitment": "processed", "replaceRecentBlockhash": True}
        simulated = (await net.rpc("simulateTransaction", encoded(transaction), options))["value"]
        assert simulated["err"] is None
        assert simulated["unitsConsumed"] > 0
        assert not any("ComputeBudget" in line for line in simulated["logs"])


async def test_clients_read_from_the_feature_that_the_version_is_executed(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        feature = "txv1aq4pp281K9um3tnPgkfX8UqtFT6wcVW3hNezGLL"
        shown = (await net.rpc("getAccountInfo", feature, {"encoding": "base64"}))["value"]
        assert (shown["owner"], shown["data"][0]) == ("Feature111111111111111111111111111111111111", "AQAAAAAAAAAA")
