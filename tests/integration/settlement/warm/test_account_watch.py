"""Accounts in memory over a node that behaves: they are answered without a request, untorn, and follow the chain."""

import asyncio
from pathlib import Path

import pytest

from dexexec.domain.token import USDC, WSOL
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.settlement.solana.warm.warm_chain import WarmChain
from tests.support.localnet.warm_setup import CONFIRMED_AFTER, PAID, warm_setup


@pytest.mark.parametrize("consensus", list(Consensus))
async def test_warm_accounts_are_answered_without_a_request(tmp_path: Path, consensus: Consensus) -> None:
    async with warm_setup(tmp_path, consensus=consensus) as setup:
        requests = len(setup.node.requests)
        for _ in range(50):
            assert await setup.read() == await setup.true()
        assert len(setup.node.requests) == requests
        report = setup.watch.report()
        assert (report.cold, report.watched, report.subscribed, report.gaps) == ("", 3, 3, 0)
        assert report.bytes > 0
        assert report.notifications_per_second > 0
        pool = setup.watch.pool("pool", setup.addresses)
        assert (pool.cold, pool.accounts) == ("", 2)
        assert "interrupted" not in setup.listener.kinds


@pytest.mark.parametrize("consensus", list(Consensus))
async def test_a_set_is_never_torn_while_its_accounts_change(tmp_path: Path, consensus: Consensus) -> None:
    async with warm_setup(tmp_path, consensus=consensus, stale_slots=100) as setup:
        total = sum(await setup.true())
        seen: set[tuple[int, int]] = set()
        async with asyncio.timeout(30):
            while len(seen) < 12:
                await setup.pay()
                await setup.slot()
                found = setup.lamports()
                if found is not None:
                    assert sum(found) == total
                    seen.add(found)
        before = await setup.warm()
        await setup.pay()
        assert await setup.warm() == (before[0] - PAID, before[1] + PAID)


async def test_what_a_cold_order_needs_next_comes_with_its_first_read(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        chain = WarmChain(setup.chain, accounts=setup.watch.accounts, expect=setup.watch.expect)
        wallet, pool = [str((await setup.net.funded()).pubkey()) for _ in range(2)]
        for _ in range(CONFIRMED_AFTER):
            await setup.slot()
        chain.expect(wallet, (WSOL, USDC))
        quoted = await chain.accounts([pool])
        requests = setup.node.count("getMultipleAccounts")
        owned = [associated_token_account(wallet, mint) for mint in (WSOL, USDC)]
        drafted = await chain.accounts([wallet, *owned, pool])
        assert setup.watch.recall([wallet, pool]) is not None, "so it can be simulated here as well"
        assert setup.node.count("getMultipleAccounts") == requests
        assert drafted.slot == quoted.slot, "all are of one answer"
        assert drafted.found[3] == quoted.found[0]
        setup.silence(3)
        assert setup.watch.recall([wallet, pool]) is None, "an answer is used for a moment only"


async def test_without_an_order_each_cold_read_is_read_anew(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        pool = str((await setup.net.funded()).pubkey())
        await setup.watch.accounts([pool])
        assert setup.watch.recall([pool]) is None


async def test_what_is_read_ahead_serves_the_order_and_only_what_it_uses_is_watched(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        chain = WarmChain(
            setup.chain, accounts=setup.watch.accounts, expect=setup.watch.expect, read_ahead=setup.watch.read_ahead
        )
        wallet, pool, other = [str((await setup.net.funded()).pubkey()) for _ in range(3)]
        for _ in range(CONFIRMED_AFTER):
            await setup.slot()
        chain.expect(wallet, (WSOL, USDC))
        watched, reads = setup.watch.report().watched, setup.listener.reads
        before = reads.count(False)
        for _ in range(2):
            await chain.read_ahead([pool], [other])
        assert setup.watch.report().watched == watched, "it is only a guess so far"
        assert reads.count(False) == before + 1, "the second order found the answer of the first one"
        quoted = await chain.accounts([pool])
        drafted = await chain.accounts([wallet, pool])
        assert reads.count(False) == before + 1
        assert drafted.slot == quoted.slot
        assert None not in (*quoted.found, *drafted.found)
        assert setup.watch.report().watched == watched + 2
        second = str((await setup.net.funded()).pubkey())
        chain.expect(second, (WSOL, USDC))
        await chain.read_ahead([pool], [other])
        assert setup.watch.recall([second, pool]) is not None, "each wallet needs an answer of its own"


async def test_what_is_in_memory_is_not_read_ahead(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        reads = len(setup.listener.reads)
        await setup.watch.read_ahead(setup.addresses, [str((await setup.net.funded()).pubkey())])
        assert len(setup.listener.reads) == reads


async def test_without_memory_nothing_is_read_ahead(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        requests = setup.node.count("getMultipleAccounts")
        await WarmChain(setup.chain).read_ahead(setup.addresses)
        assert setup.node.count("getMultipleAccounts") == requests
