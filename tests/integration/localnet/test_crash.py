"""kill -9 of the localnet between any two of its effects: what was answered stays, and nothing lands twice."""

import sqlite3
from pathlib import Path

import pytest
from solana.rpc.commitment import Confirmed
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from tornado.httpclient import HTTPError

from dexexec.localnet.journal import Journal
from tests.support.localnet.in_process import SOL, RpcRefusedError, encoded, pay, rpc, run_localnet, sign
from tests.support.localnet.process import (
    MANUAL_SLOTS,
    OPTIONS,
    PROCESSED,
    balance,
    blockhash,
    localnet_processes,
    send,
    status,
)

FEE = 5_000


@pytest.mark.parametrize("when", ["before the commit", "after the commit", "after the answer"])
async def test_a_transaction_lands_once_whenever_the_process_dies(tmp_path: Path, when: str) -> None:
    with localnet_processes(tmp_path) as start:
        dies = (
            None if when == "after the answer" else (when.split(maxsplit=1)[0], 2)
        )  # the airdrop is the first to land
        first = start(*MANUAL_SLOTS, dies=dies)
        url, wallet, friend = await first.url(), Keypair(), Pubkey.new_unique()
        await rpc(url, "requestAirdrop", str(wallet.pubkey()), 10 * SOL)
        genesis = await rpc(url, "getGenesisHash")
        transaction = sign([pay(wallet, friend, SOL)], wallet, blockhash=await blockhash(url))
        if dies:
            with pytest.raises((HTTPError, OSError)):
                await send(url, transaction)
        else:
            await send(url, transaction)
            first.popen.kill()
        assert await first.ended() == -9

        url = await start(*MANUAL_SLOTS).url()
        assert await rpc(url, "getGenesisHash") == genesis
        landed = when != "before the commit"
        assert (await status(url, transaction.signatures[0]) is not None) == landed
        assert await balance(url, friend) == (SOL if landed else 0)
        if landed:
            with pytest.raises(RpcRefusedError, match="already been processed"):
                await send(url, transaction)
        else:
            await send(url, transaction)
        assert await balance(url, friend) == SOL
        assert await balance(url, wallet.pubkey()) == 9 * SOL - FEE
        await rpc(url, "localnet_advanceSlots", 32)
        assert (await status(url, transaction.signatures[0]))["confirmationStatus"] == "finalized"


async def test_killed_again_and_again_under_load_everything_lands_exactly_once(tmp_path: Path) -> None:
    with localnet_processes(tmp_path) as start:
        process = start("--slot-ms", "100")
        url, wallet = await process.url(), Keypair()
        await rpc(url, "requestAirdrop", str(wallet.pubkey()), 1_000 * SOL)
        recent = await blockhash(url)
        friends = [Pubkey.new_unique() for _ in range(40)]
        sent = [sign([pay(wallet, friend, SOL + n)], wallet, blockhash=recent) for n, friend in enumerate(friends)]
        answered: list[VersionedTransaction] = []

        async def send_all(count: int) -> None:
            """Send from the first to the last; all but the first `count` lose the process."""
            for number, transaction in enumerate(sent):
                if number == count:
                    process.popen.kill()
                try:
                    if await status(url, transaction.signatures[0]) is None:
                        await send(url, transaction)
                        answered.append(transaction)
                except (HTTPError, OSError):
                    return

        for count in (15, 30, 1_000):
            await send_all(count)
            if count < len(sent):
                await process.ended()
                process = start("--slot-ms", "100")
                url = await process.url()
                for transaction in answered:
                    assert await status(url, transaction.signatures[0]) is not None, "what was answered has landed"
        assert [await balance(url, friend) for friend in friends] == [SOL + n for n in range(len(friends))]
        spent = sum(SOL + n + FEE for n in range(len(friends)))
        assert await balance(url, wallet.pubkey()) == 1_000 * SOL - spent


async def test_blocks_views_and_forks_go_on_after_a_restart(tmp_path: Path) -> None:
    wallet = Keypair()
    async with run_localnet(tmp_path) as net:
        await net.advance(50)
        signature = (await net.client.request_airdrop(wallet.pubkey(), SOL)).value
        await net.advance(1)
        slot = await net.rpc("getSlot", PROCESSED)
    async with run_localnet(tmp_path) as net:
        assert await net.rpc("getSlot", PROCESSED) == slot + 1
        assert (await net.rpc("getBalance", str(wallet.pubkey())))["value"] == 0, "not finalized yet"
        assert (await net.status(signature))["confirmations"] == 2
        finalized = await net.rpc("getBlockHeight")
        await net.rpc("localnet_fork", 3)
        forked = net.ledger.blocks.tip
    async with run_localnet(tmp_path) as net:
        assert await net.status(signature, search=True) is None
        assert await net.balance(wallet.pubkey()) == 0
        assert net.ledger.blocks.tip.slot == slot + 3, "above all slots that there were"
        assert net.ledger.blocks.tip.height == forked.height + 1
        assert await net.rpc("getBlockHeight") == finalized, "no fork takes back what was finalized"


async def test_a_journal_that_refuses_leaves_memory_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        transaction = await net.signed([pay(wallet, friend, SOL)], wallet)

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "land", full)
            with pytest.raises(RpcRefusedError, match="disk is full") as refused:
                await net.rpc("sendTransaction", encoded(transaction), OPTIONS)
        assert refused.value.code == -32603
        assert (await net.balance(friend), await net.balance(wallet.pubkey())) == (0, 10 * SOL)
        await net.send(transaction)
        assert await net.balance(friend) == SOL
        await net.rpc("localnet_fork", 1)
        assert await net.balance(friend) == 0


async def test_what_lands_after_a_fork_is_seen_at_its_slot_after_a_restart(tmp_path: Path) -> None:
    wallet = Keypair()
    async with run_localnet(tmp_path) as net:
        await net.advance(5)
        await net.client.request_airdrop(wallet.pubkey(), SOL)
        await net.rpc("localnet_fork", 1)
        await net.client.request_airdrop(wallet.pubkey(), 3 * SOL)
    async with run_localnet(tmp_path) as net:
        await net.advance(1)
        assert await net.balance(wallet.pubkey(), Confirmed) == 3 * SOL
