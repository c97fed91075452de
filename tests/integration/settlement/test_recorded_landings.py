"""The ledger in Postgres answers for what it has just recorded without a read, as long as that cannot be lost."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from dexexec.domain import base58
from dexexec.settlement.simulated.ledger import Landing, Receipt
from dexexec.settlement.simulated.postgres_ledger import RECORDED_HOLDS, PostgresLedger
from dexexec.store import Address
from dexexec.testing.clock import ManualClock
from tests.support.parts import open_database, running
from tests.support.waiting import until


class Setup:
    """A ledger with one recorded landing that somebody else has since deleted, as a lost commit would."""

    def __init__(self, address: Address, ledger: PostgresLedger, clock: ManualClock) -> None:
        self.address = address
        self.ledger = ledger
        self.clock = clock
        self.landing = Landing(
            signature=base58.encode(secrets.token_bytes(64)),
            payload=b"swap",
            sent_height=1,
            lands_at_ms=400,
            last_valid_height=10**9,
            valid_until_ms=10**15,
        )

    def sql(self, statement: str, *values: object) -> list[Any]:
        with psycopg.connect(self.address.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    async def found(self) -> bool:
        return (await self.ledger.find([self.landing.signature])) == [self.landing]


@asynccontextmanager
async def recorded(address: Address) -> AsyncIterator[Setup]:
    clock = ManualClock()
    async with open_database(address) as database:
        ledger = PostgresLedger(database, clock)
        setup = Setup(address, ledger, clock)
        async with running(ledger.run()):
            assert await ledger.record([setup.landing]) == [Receipt.RECORDED]
            setup.sql("DELETE FROM simulated_swaps WHERE signature = %s", setup.landing.signature)
            yield setup


async def test_a_landing_is_known_without_a_read_for_a_moment(database_address: Address) -> None:
    async with recorded(database_address) as setup:
        assert await setup.found()
        setup.clock.advance(RECORDED_HOLDS)
        assert not await setup.found()


async def test_when_the_session_has_ended_the_landing_is_read(database_address: Address) -> None:
    """A crash of Postgres, which may lose the landing, ends every session."""
    async with recorded(database_address) as setup:
        [session] = [each.session for each in setup.ledger._recorded.values()]
        setup.sql("SELECT pg_terminate_backend(%s)", session.info.backend_pid)
        await until(lambda: not session.is_quiet())
        assert not await setup.found()
