"""The checks on a localnet find every change to the record, or to the chain behind it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.store import Address
from tests.support.localnet.in_process import pay, rpc, sign
from tests.support.localnet.process import blockhash, localnet_processes, send, status
from tests.support.service.client import http, watching
from tests.support.service.localnet import SLOT_MS, settings_on
from tests.support.service.localnet_promise_checks import LocalnetChain
from tests.support.service.process import Launcher
from tests.support.service.promise_checks import check_promises, rows
from tests.support.waiting import until

LIES = {
    "transactions that no attempt records": "DELETE FROM attempts WHERE outcome = 'landed'",
    "'outcome': 'expired'": "UPDATE attempts SET outcome = 'expired'",
    "'outcome': 'failed'": "UPDATE attempts SET outcome = 'failed'",
    "the wallet has": "UPDATE orders SET amount_out = amount_out + 1 WHERE side = 'buy'",
    "the wallet": "UPDATE orders SET amount_in = amount_in - 1 WHERE side = 'sell'",
}
"""The checks' message after a change to the record."""


def changed(address: Address, statement: str, look: Callable[[], object]) -> None:
    """Look at the record with a change that is then taken back."""
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        kept = {table: copied(connection, table) for table in ("orders", "attempts")}
        connection.execute(statement.encode())
        try:
            look()
        finally:
            for table, rows in kept.items():
                connection.execute(f"TRUNCATE {table}".encode())
                with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                    copy.write(rows)


def copied(connection: psycopg.Connection[TupleRow], table: str) -> bytes:
    """All rows, without what the database itself makes of them."""
    with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
        return b"".join(copy)


async def pays(url: str, payer: Keypair, to: str, lamports: int) -> None:
    """A transfer that no order has recorded, once it is final."""
    transaction = sign([pay(payer, Pubkey.from_string(to), lamports)], payer, blockhash=await blockhash(url))
    await send(url, transaction)

    async def final() -> bool:
        found = await status(url, transaction.signatures[0])
        return found is not None and found["confirmationStatus"] == "finalized"

    await until(final, pause=0.05)


async def test_what_is_changed_in_the_record_or_moved_behind_it_is_found(
    given: dict[str, str], database_address: Address, tmp_path: Path
) -> None:
    wallet, stranger = Keypair(), Keypair()
    with localnet_processes(tmp_path) as start:
        url = await start("--slot-ms", str(SLOT_MS)).url()
        with Launcher(**given, **settings_on(url, wallet)) as launcher:
            service = launcher.start()
            base = await asyncio.to_thread(lambda: service.url)
            async with http() as calls:
                order_ids = [await calls.accepted(base, "1.5", side) for side in ("buy", "sell", "buy")]
                async with watching(lambda: base, order_ids):
                    pass
            assert await asyncio.to_thread(service.stop) == 0

        def look() -> None:
            check_promises(database_address, order_ids, LocalnetChain(url, str(wallet.pubkey())))

        look()
        for words, statement in LIES.items():
            with pytest.raises(AssertionError, match=words):
                changed(database_address, statement, look)
        look()

        await rpc(url, "requestAirdrop", str(stranger.pubkey()), 10**9)
        await pays(url, stranger, str(wallet.pubkey()), 5_000_000)
        look()  # a gift changes nothing that an order brought
        await pays(url, wallet, str(stranger.pubkey()), 1_000_000)
        with pytest.raises(AssertionError, match="transactions that no attempt records"):
            look()
    assert rows(database_address, "SELECT FROM attempts WHERE outcome = 'landed'")
