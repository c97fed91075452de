"""The localnet as a chain: what solana-py's client sees of transfers, blocks, commitment and history."""

from pathlib import Path
from typing import Any

import pytest
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction, VersionedTransaction

from tests.support.localnet.in_process import NO_PREFLIGHT, SOL, RpcRefusedError, encoded, pay, run_localnet, sign


async def test_an_airdrop_is_a_transaction_like_any_other(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = Pubkey.new_unique()
        first = (await net.client.request_airdrop(wallet, 2 * SOL)).value
        second = (await net.client.request_airdrop(wallet, 2 * SOL)).value
        assert first != second
        assert await net.balance(wallet) == 4 * SOL
        assert (await net.status(first))["err"] is None
        await net.advance(2)
        found = (await net.client.get_signatures_for_address(wallet, commitment=Confirmed)).value
        assert [one.signature for one in found] == [second, first]


async def test_a_transfer_moves_lamports_and_charges_the_fee(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(10 * SOL), Pubkey.new_unique()
        signature = await net.land([pay(wallet, friend, SOL)], wallet)
        assert (await net.balance(wallet.pubkey()), await net.balance(friend)) == (9 * SOL - 5_000, SOL)
        await net.advance(2)
        found = (
            await net.client.get_transaction(signature, commitment=Confirmed, max_supported_transaction_version=0)
        ).value
        assert found is not None
        meta = found.transaction.meta
        assert meta is not None
        assert (meta.fee, meta.err, meta.compute_units_consumed) == (5_000, None, 150)
        assert (meta.pre_balances, meta.post_balances) == ([10 * SOL, 0, 1], [9 * SOL - 5_000, SOL, 1])
        assert meta.log_messages == [
            "Program 11111111111111111111111111111111 invoke [1]",
            "Program 11111111111111111111111111111111 success",
        ]


async def test_a_legacy_transaction_lands_too(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        message = Message([pay(wallet, wallet.pubkey(), 1)], wallet.pubkey())
        transaction = Transaction([wallet], message, await net.blockhash())
        signature = await net.send(VersionedTransaction.from_legacy(transaction))
        await net.advance(2)
        found = await net.rpc("getTransaction", str(signature), {"commitment": "confirmed"})
        assert found["transaction"]["signatures"] == [str(signature)]


@pytest.mark.parametrize("encoding", ["json", "jsonParsed", "base64", "base58"])
async def test_a_transaction_is_shown_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        signature = await net.land([pay(wallet, wallet.pubkey(), 1)], wallet)
        await net.advance(2)
        found = await net.client.get_transaction(signature, encoding, Confirmed, max_supported_transaction_version=0)
        assert found.value is not None
        with pytest.raises(RpcRefusedError, match="maxSupportedTransactionVersion") as refused:
            await net.rpc("getTransaction", str(signature), {"encoding": encoding, "commitment": "confirmed"})
        assert refused.value.code == -32015


async def test_a_status_goes_from_processed_to_confirmed_to_finalized(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        signature = await net.land([pay(wallet, wallet.pubkey(), 1)], wallet)
        seen = []
        for _ in range(33):
            status = await net.status(signature)
            seen.append((status["confirmationStatus"], status["confirmations"]))
            await net.advance(1)
        assert seen[:3] == [("processed", 0), ("processed", 1), ("confirmed", 2)]
        assert seen[31:] == [("confirmed", 31), ("finalized", None)]


async def test_balances_and_blockhashes_are_those_of_the_commitment(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded(SOL)
        levels = (Processed, Confirmed, Finalized)
        seen = []
        for slots in (0, 2, 30):
            await net.advance(slots)
            seen.append([await net.balance(wallet.pubkey(), level) for level in levels])
        assert seen == [[SOL, 0, 0], [SOL, SOL, 0], [SOL, SOL, SOL]]
        heights = [(await net.client.get_block_height(level)).value for level in levels]
        assert heights == [33, 31, 1]
        latest = [(await net.client.get_latest_blockhash(level)).value for level in levels]
        assert len({one.blockhash for one in latest}) == 3
        assert [one.last_valid_block_height for one in latest] == [height + 150 for height in heights]


async def test_the_same_transaction_lands_once(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)
        signature = await net.send(transaction)
        with pytest.raises(RPCException, match="AlreadyProcessed"):
            await net.send(transaction)
        assert await net.send(transaction, NO_PREFLIGHT) == signature, "without preflight nobody looks, as on a cluster"
        assert await net.balance(friend) == SOL


async def test_an_expired_blockhash_is_refused_by_preflight_and_dropped_without(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        late = await net.signed([pay(wallet, friend, SOL)], wallet)
        last = await net.signed([pay(wallet, friend, 2 * SOL)], wallet)
        await net.advance(150)
        await net.send(last)
        await net.advance(1)
        assert not (await net.rpc("isBlockhashValid", str(late.message.recent_blockhash), {"commitment": "processed"}))[
            "value"
        ]
        with pytest.raises(RPCException, match="BlockhashNotFound"):
            await net.send(late)
        await net.send(late, NO_PREFLIGHT)
        assert await net.status(late.signatures[0], search=True) is None
        assert await net.balance(friend) == 2 * SOL


async def test_preflight_does_not_accept_a_blockhash_younger_than_its_commitment(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        await net.advance(40)
        transaction = await net.signed([pay(wallet, wallet.pubkey(), 1)], wallet)
        with pytest.raises(RPCException, match="BlockhashNotFound"):
            await net.send(transaction, TxOpts(preflight_commitment=Confirmed))
        await net.advance(2)
        await net.send(transaction, TxOpts(preflight_commitment=Confirmed))


async def test_a_failure_on_chain_is_kept_with_its_error_and_its_fee(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded(10 * SOL)
        transaction = await net.signed([pay(wallet, Pubkey.new_unique(), 50 * SOL)], wallet)
        signature = await net.send(transaction, NO_PREFLIGHT)
        error = {"InstructionError": [0, {"Custom": 1}]}
        status = await net.status(signature)
        assert (status["err"], status["status"]) == (error, {"Err": error})
        assert await net.balance(wallet.pubkey()) == 10 * SOL - 5_000
        await net.send(transaction, NO_PREFLIGHT)
        assert await net.balance(wallet.pubkey()) == 10 * SOL - 5_000, "it has landed, once"
        await net.advance(2)
        meta = (
            await net.rpc(
                "getTransaction", str(signature), {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
            )
        )["meta"]
        assert (meta["err"], meta["fee"]) == (error, 5_000)
        assert any("insufficient lamports" in line for line in meta["logMessages"])


async def test_what_fails_before_it_is_executed_leaves_no_trace(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        poor = Keypair()
        signature = await net.send(await net.signed([pay(poor, poor.pubkey(), 1)], poor), NO_PREFLIGHT)
        assert await net.status(signature, search=True) is None


async def test_preflight_reports_the_reason_with_the_logs_and_nothing_lands(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded(SOL)
        transaction = await net.signed([pay(wallet, Pubkey.new_unique(), 50 * SOL)], wallet)
        with pytest.raises(
            RpcRefusedError, match=r"^Transaction simulation failed: Error processing Instruction 0: .*0x1$"
        ) as refused:
            await net.rpc(
                "sendTransaction", encoded(transaction), {"encoding": "base64", "preflightCommitment": "processed"}
            )
        assert refused.value.code == -32002
        assert refused.value.data is not None
        assert refused.value.data["err"] == {"InstructionError": [0, {"Custom": 1}]}
        assert any("insufficient lamports" in line for line in refused.value.data["logs"])
        assert await net.balance(wallet.pubkey()) == SOL


async def test_a_wrong_signature_is_refused(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        right = await net.signed([pay(wallet, Pubkey.new_unique(), SOL)], wallet)
        forged = VersionedTransaction.populate(right.message, [Signature.new_unique()])
        with pytest.raises(RpcRefusedError, match="signature verification failure") as refused:
            await net.rpc(
                "sendTransaction", encoded(forged), {"encoding": "base64", "preflightCommitment": "processed"}
            )
        assert refused.value.code == -32003
        await net.send(forged, NO_PREFLIGHT)
        assert await net.balance(wallet.pubkey()) == 10 * SOL


async def test_a_simulation_shows_what_would_happen_and_changes_nothing(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(10 * SOL), Pubkey.new_unique()
        stale = await net.signed([pay(wallet, friend, SOL)], wallet)
        unsigned = VersionedTransaction.populate(stale.message, [Signature.default()])
        await net.advance(200)
        options: dict[str, Any] = {"encoding": "base64", "commitment": "processed"}
        found = (await net.rpc("simulateTransaction", encoded(unsigned), options))["value"]
        assert found["err"] == "BlockhashNotFound"
        options |= {"replaceRecentBlockhash": True, "accounts": {"encoding": "base64", "addresses": [str(friend)]}}
        found = (await net.rpc("simulateTransaction", encoded(unsigned), options))["value"]
        assert (found["err"], found["unitsConsumed"], found["accounts"][0]["lamports"]) == (None, 150, SOL)
        assert found["replacementBlockhash"]["lastValidBlockHeight"] == 351
        assert await net.balance(friend) == 0
        with pytest.raises(RpcRefusedError, match="sigVerify may not be used"):
            await net.rpc("simulateTransaction", encoded(unsigned), options | {"sigVerify": True})
        with pytest.raises(RpcRefusedError, match="signature verification failure"):
            await net.rpc("simulateTransaction", encoded(unsigned), {"encoding": "base64", "sigVerify": True})
        typed = await net.client.simulate_transaction(unsigned, replace_recent_blockhash=True)
        assert typed.value.units_consumed == 150


async def test_a_simulation_sees_the_accounts_of_its_commitment(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        await net.advance(5)
        wallet = await net.funded()
        transaction = sign([pay(wallet, wallet.pubkey(), 1)], wallet, blockhash=await net.blockhash(Confirmed))
        seen = [
            (await net.client.simulate_transaction(transaction, commitment=one)).value.err
            for one in (Processed, Confirmed)
        ]
        assert [str(error) for error in seen] == ["None", "TransactionErrorFieldless.AccountNotFound"]
        assert await net.balance(wallet.pubkey()) == 10 * SOL


async def test_signatures_of_an_address_come_newest_first_in_pages(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        sent = [await net.land([pay(wallet, friend, SOL + number)], wallet) for number in range(5)]
        assert (await net.client.get_signatures_for_address(friend, commitment=Confirmed)).value == []
        await net.advance(2)

        async def page(**options: object) -> list[str]:
            found = await net.rpc("getSignaturesForAddress", str(friend), {"commitment": "confirmed", **options})
            return [one["signature"] for one in found]

        newest = [str(one) for one in reversed(sent)]
        assert await page() == newest
        assert await page(limit=2) == newest[:2]
        assert await page(before=newest[1], limit=2) == newest[2:4]
        assert await page(until=newest[3]) == newest[:3]
