"""Accounts in memory over a node that behaves: they are answered without a request, untorn, and follow the chain."""

import asyncio
from pathlib import Path

import pytest

from dexexec.localnet.blocks import Consensus
from tests.support.localnet.warm_setup import PAID, warm_setup


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
