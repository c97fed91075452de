"""The contract of the simulated chain's ledger, for each implementation.

A ledger joins as a parameter of `open_ledger`. It may be shared with other tests, so every landing here has its own
signature, and it may have its own clock: only the far past and the far future are used.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from dexexec.domain import base58
from dexexec.settlement.simulated.ledger import Landing, Ledger, MemoryLedger, Receipt
from dexexec.settlement.simulated.postgres_ledger import PostgresLedger
from dexexec.store import Address
from dexexec.testing.clock import ManualClock
from tests.support.parts import open_database, running

LONG_AGO = 1_000
FAR_AHEAD = 10**15


@asynccontextmanager
async def memory_ledger() -> AsyncIterator[Ledger]:
    yield MemoryLedger(ManualClock())


Open = Callable[[], AbstractAsyncContextManager[Ledger]]


@pytest.fixture(params=["memory", "postgres"])
def open_ledger(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        return memory_ledger
    address: Address = request.getfixturevalue("database_address")

    @asynccontextmanager
    async def postgres_ledger() -> AsyncIterator[Ledger]:
        async with open_database(address) as database:
            ledger = PostgresLedger(database)
            async with running(ledger.run()):
                yield ledger

    return postgres_ledger


def landing(*, dropped: bool = False, valid_until_ms: int = FAR_AHEAD, payload: bytes = b"\x00swap\xff") -> Landing:
    return Landing(
        signature=base58.encode(secrets.token_bytes(64)),
        payload=payload,
        sent_height=4_250_000_000,
        lands_at_ms=1_700_000_000_400,
        last_valid_height=4_250_000_150,
        valid_until_ms=valid_until_ms,
        dropped=dropped,
    )


async def test_what_was_recorded_is_found_as_it_was_given(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        sent = landing()
        assert await ledger.record([sent]) == [Receipt.RECORDED]
        assert await ledger.find([sent.signature]) == [sent]


async def test_what_was_never_recorded_is_not_found(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        assert await ledger.find([landing().signature, "", "not a signature"]) == [None, None, None]


async def test_its_time_goes_on_and_is_that_by_which_landings_are_late(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        first = await ledger.now_ms()
        assert await ledger.record([landing(valid_until_ms=first - 1)]) == [Receipt.LATE]
        assert await ledger.record([landing(valid_until_ms=first + 600_000)]) == [Receipt.RECORDED]
        assert await ledger.now_ms() >= first


async def test_an_empty_request_is_an_empty_answer(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        assert await ledger.record([]) == []
        assert await ledger.find([]) == []


async def test_the_first_record_of_a_signature_is_kept(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        first = landing()
        await ledger.record([first])
        later = replace(
            first, lands_at_ms=first.lands_at_ms + 9_999, sent_height=first.sent_height + 5, payload=b"else"
        )
        assert await ledger.record([later]) == [Receipt.KNOWN]
        assert await ledger.record([replace(later, dropped=True)]) == [Receipt.KNOWN]
        assert await ledger.record([replace(later, valid_until_ms=LONG_AGO)]) == [Receipt.KNOWN]
        assert await ledger.find([first.signature]) == [first]


async def test_what_comes_too_late_leaves_no_trace(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        late = landing(valid_until_ms=LONG_AGO)
        lost_and_late = landing(valid_until_ms=LONG_AGO, dropped=True)
        assert await ledger.record([late, lost_and_late]) == [Receipt.LATE, Receipt.LATE]
        assert await ledger.find([late.signature, lost_and_late.signature]) == [None, None]
        # Not even the sighting was noted: in time, its first send is still to be lost.
        assert await ledger.record([replace(lost_and_late, valid_until_ms=FAR_AHEAD)]) == [Receipt.LOST]


async def test_a_dropped_one_is_lost_at_first_sight_and_recorded_from_the_second_on(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        first = landing(dropped=True)
        assert await ledger.record([first]) == [Receipt.LOST]
        assert await ledger.find([first.signature]) == [None]
        second = replace(first, lands_at_ms=first.lands_at_ms + 2_000, sent_height=first.sent_height + 5)
        assert await ledger.record([second]) == [Receipt.RECORDED]
        third = replace(first, lands_at_ms=first.lands_at_ms + 4_000, sent_height=first.sent_height + 10)
        assert await ledger.record([third]) == [Receipt.KNOWN]
        assert await ledger.find([first.signature]) == [replace(second, dropped=False)]


async def test_a_dropped_one_that_is_sent_again_too_late_stays_lost(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        first = landing(dropped=True)
        await ledger.record([first])
        assert await ledger.record([replace(first, valid_until_ms=LONG_AGO)]) == [Receipt.LATE]
        assert await ledger.find([first.signature]) == [None]


async def test_concurrent_items_are_answered_in_their_order_each_by_its_own_result(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        known, fresh, lost, late = landing(), landing(), landing(dropped=True), landing(valid_until_ms=LONG_AGO)
        await ledger.record([known])
        receipts = await ledger.record([late, fresh, known, lost])
        assert receipts == [Receipt.LATE, Receipt.RECORDED, Receipt.KNOWN, Receipt.LOST]
        asked = [lost.signature, known.signature, late.signature, fresh.signature, known.signature]
        assert await ledger.find(asked) == [None, known, None, fresh, known]


async def test_one_signature_several_times_in_one_call_is_decided_one_after_another(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        plain, dropped = landing(), landing(dropped=True)
        receipts = await ledger.record([plain, dropped, plain, dropped, dropped])
        assert receipts == [Receipt.RECORDED, Receipt.LOST, Receipt.KNOWN, Receipt.RECORDED, Receipt.KNOWN]


async def test_one_signature_in_concurrent_calls_is_recorded_once(open_ledger: Open) -> None:
    async with open_ledger() as ledger:
        plain, dropped = landing(), landing(dropped=True)
        others = [landing() for _ in range(20)]
        calls = [ledger.record([plain, other, dropped]) for other in others]
        receipts = await asyncio.gather(*calls)
        assert sorted(found[0] for found in receipts) == ["known"] * 19 + ["recorded"]
        assert [found[1] for found in receipts] == ["recorded"] * 20
        assert sorted(found[2] for found in receipts) == ["known"] * 18 + ["lost", "recorded"]
        found = await ledger.find([other.signature for other in others])
        assert found == others
