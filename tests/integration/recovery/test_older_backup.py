"""A backup that is restored after orders went on: what is on the chain, and what was in flight, is looked up there
before anything is signed."""

import asyncio
import uuid
from pathlib import Path

import pytest
from solders.keypair import Keypair

from dexexec.domain.token import USDC
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.databases import new_database
from tests.support.localnet.in_process import rpc
from tests.support.localnet.modes import in_turn
from tests.support.service.client import Http, http, watching
from tests.support.service.localnet import Funds, fund, settings_on, start_localnet
from tests.support.service.localnet_promise_checks import LocalnetChain
from tests.support.service.process import QUICK, Launcher, servers_at
from tests.support.service.promise_checks import check_promises, rows
from tests.support.waiting import until

RICH: Funds = {"": (9, 1_000 * 10**9), USDC: (6, 150_000 * 10**6)}
AFTER = 5
"""Orders that are posted after the backup."""
OPEN = "SELECT order_id FROM attempts WHERE outcome IS NULL"
UNFINISHED = "SELECT id::text FROM orders WHERE finished_at IS NULL"
LANDED = "SELECT order_id::text FROM attempts WHERE outcome = 'landed' ORDER BY 1"
COMPARED = "SELECT identity = record_identity() AS compared FROM chain_comparisons"
DROPPED = 1_000
"""Transactions: more than are sent before the fault is removed, which is when the backup is complete."""


async def post(calls: Http, url: str) -> str:
    answer = await calls.order(url, **{"Idempotency-Key": uuid.uuid4().hex})
    assert answer.status == 202, answer
    return str(answer.body["orderId"])


@pytest.mark.timeout(180)
async def test_promise_3_a_restored_older_backup_sends_nothing_twice(
    servers: Servers, database_address: Address, tmp_path: Path
) -> None:
    wallet, backup = Keypair(), tmp_path / "record.backup"
    given = servers_at(database_address, servers.redis_url, f"t{uuid.uuid4().hex[:10]}") | QUICK
    with (
        new_database(servers.postgres) as restored,
        Launcher(**given) as launcher,
    ):
        _, url = await start_localnet(launcher, launcher.home / "localnet", consensus=in_turn())
        await fund(url, str(wallet.pubkey()), RICH)
        launcher.environment |= settings_on(url, wallet)
        original = launcher.start()
        await asyncio.to_thread(original.ready)
        async with http() as calls:
            before = [await post(calls, original.url)]
            async with watching(lambda: original.url, before):
                pass
            await rpc(url, "localnet_setFaults", {"drop": DROPPED})
            before.append(await post(calls, original.url))
            await until(lambda: bool(rows(database_address, OPEN)))
            assert await asyncio.to_thread(launcher.start("backup", str(backup)).wait) == 0
            await rpc(url, "localnet_setFaults", {})
            after = [await post(calls, original.url) for _ in range(AFTER)]
            async with watching(lambda: original.url, [*before, *after]):
                pass
            assert await asyncio.to_thread(original.stop) == 0

            launcher.environment |= {
                "PG_DATABASE": restored.database,
                "DEXEXEC_REDIS_PREFIX": f"t{uuid.uuid4().hex[:10]}",
            }
            assert await asyncio.to_thread(launcher.start("restore", str(backup)).wait) == 0
            assert rows(restored, UNFINISHED) == [{"id": before[1]}]
            service = launcher.start()
            await asyncio.to_thread(service.ready)
            assert rows(restored, COMPARED) == [{"compared": True}], "ready is only what may sign"
            new = await post(calls, service.url)
            async with watching(lambda: service.url, [*before, *after, new]):
                pass
        everything = [*before, *after, new]
        # Fails for a transaction of the wallet that no attempt records, and for an order that swapped twice.
        check_promises(restored, everything, LocalnetChain(url, str(wallet.pubkey())))
        assert [row["order_id"] for row in rows(restored, LANDED)] == sorted(everything), "each swapped once"
