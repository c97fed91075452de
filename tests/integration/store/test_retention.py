"""Retention on a real Postgres: what is old and over goes, whole partitions at a time, and nothing else does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from dexexec.domain.cancellation import TooLate
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import Address, ArchiveSession, Cursor
from dexexec.store.archive import MOST_DAYS, Partition, new_partition
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.parts import new_order, open_database, open_store
from tests.support.waiting import until

HOUR = timedelta(hours=1)
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class RecordingObserver(Observer):
    """An observer that records the reports about partitions."""

    def __init__(self) -> None:
        super().__init__(make_logger("error"))
        self.kept: list[str] = []
        self.dropped: list[str] = []
        self.busy: list[str] = []

    def partition_kept(self, partition: str) -> None:
        self.kept.append(partition)

    def archive_partitions_dropped(self, tables: list[str]) -> None:
        self.dropped += tables

    def archive_drop_deferred(self, partition: str) -> None:
        self.busy.append(partition)


@asynccontextmanager
async def open_archive_setup(address: Address) -> AsyncIterator[ArchiveSetup]:
    async with open_store(address) as store:
        yield ArchiveSetup(address, store)


async def test_an_archived_order_reads_as_it_did_before(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        live = (await setup.claimed()).order.id
        ids = [await setup.confirmed(days) for days in (3, 2, 2, 0)] + [await setup.failed(1), live]
        before = await setup.everything(ids)
        assert await retention.round()
        assert [setup.count(table) for table in ("orders", "order_events", "attempts")] == [1, 1, 0]
        assert setup.count("archived_orders") == 5
        assert await setup.everything(ids) == before


async def test_the_list_continues_from_the_main_tables_into_the_archive_without_a_gap(
    database_address: Address,
) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address, rest=HOUR) as retention:
        old_and_live = (await setup.claimed()).order.id
        setup.age(2.5, old_and_live)
        ids = [old_and_live, *[await setup.confirmed(days) for days in (4, 3, 2, 1, 0)]]
        in_order = [str(ids[n]) for n in (5, 4, 3, 0, 2, 1)]
        assert await retention.round()
        assert setup.count("archived_orders") == 4
        for limit in range(1, 8):
            listed: list[object] = []
            before: Cursor | None = None
            while page := await setup.store.orders(limit, before):
                before = page[-1]["_cursor"]  # type: ignore[assignment]
                listed += [row["orderId"] for row in page]
            assert listed == in_order, limit


async def test_an_order_stays_in_the_main_tables_for_a_while_after_its_end(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address, rest=HOUR) as retention:
        await setup.confirmed()
        late = await setup.confirmed(2)
        setup.sql("UPDATE orders SET finished_at = clock_timestamp() WHERE id = %s", late)
        await retention.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (2, 0)


async def test_more_orders_than_one_batch_are_archived_in_one_round(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        created = await asyncio.gather(*(setup.store.create(new_order()) for _ in range(1_200)))
        done = [one.order_id for one in created[:1_100]]
        setup.sql("UPDATE orders SET status = 'failed', finished_at = clock_timestamp() WHERE id = ANY(%s)", done)
        await retention.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (100, 1_100)


async def test_old_orders_go_with_their_keys_and_younger_ones_stay(database_address: Address) -> None:
    reported = RecordingObserver()
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address, days=30, observer=reported) as retention,
    ):
        old = [await setup.confirmed(40, key="old"), await setup.failed(32, key="older")]
        young = [await setup.confirmed(29, key="young"), await setup.confirmed(0, key="new")]
        for order_id in (old[0], young[0]):
            setup.sql("INSERT INTO restored_keys VALUES (%s, '', %s)", str(order_id), order_id)
        await retention.round()
        assert [kept for (kept,) in setup.sql("SELECT order_id FROM restored_keys")] == young[:1]
        assert [await setup.store.order(order_id) for order_id in old] == [None, None]
        assert set(await setup.store.versions([*old, *young])) == set(young)
        assert await setup.store.events_after([(old[0], 0)]) == {}
        assert len(await setup.store.orders(10, None)) == 2
        assert (len(reported.dropped), len(setup.partitions())) == (2, 2)
        again = {key: await setup.store.create(new_order(key=key)) for key in ("old", "young", "new")}
        assert {key: answer.replayed for key, answer in again.items()} == {"old": False, "young": True, "new": True}
        assert setup.sql("SELECT relname FROM pg_class WHERE relname LIKE 'dropping%%'") == []


async def test_an_order_that_has_not_ended_is_kept_however_old_and_still_ends(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address, days=30) as retention:
        waiting, aside, unfinal = await setup.claimed(), await setup.submitted(), await setup.submitted()
        setup.sql("UPDATE orders SET set_aside_at = clock_timestamp() WHERE id = %s", aside.order.id)
        await setup.confirm(unfinal, final=False)
        neighbour = await setup.confirmed()
        ids = [one.order.id for one in (waiting, aside, unfinal)]
        setup.age(90, *ids, neighbour)
        before = await setup.everything(ids)
        await retention.round()
        assert await setup.store.order(neighbour) is None, "its day is over, for those that have ended"
        after = await setup.everything(ids)
        assert after[:3] == before[:3]

        await setup.write(unfinal, 5, (Status.CONFIRMED, {}), final=True)
        setup.sql("UPDATE attempts SET outcome = 'landed' WHERE order_id = %s", unfinal.order.id)
        await retention.round()
        assert setup.count("orders") == 2
        assert (await setup.store.versions(ids))[unfinal.order.id] == 6, "its day is made again for it"


async def test_an_order_that_ended_late_keeps_its_partition_which_is_logged_once(database_address: Address) -> None:
    reported = RecordingObserver()
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address, days=30, observer=reported) as retention,
    ):
        late = await setup.submitted()
        other = await setup.confirmed()
        setup.age(40, late.order.id, other)
        await setup.confirm(late)
        for _ in range(3):
            await retention.round()
        assert set(await setup.store.versions([late.order.id, other])) == {late.order.id, other}
        assert reported.kept == setup.partitions()
        setup.sql("UPDATE archived_orders SET finished_at = created_at")
        await retention.round()
        assert await setup.store.versions([late.order.id, other]) == {}
        assert (reported.dropped, setup.partitions()) == ([reported.kept[0].replace("archived", "dropping")], [])


async def test_an_order_with_an_open_attempt_is_never_archived(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        odd = await setup.confirmed(50)
        setup.sql("UPDATE attempts SET outcome = NULL WHERE order_id = %s", odd)
        await retention.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (1, 0)


async def test_two_processes_at_once_do_everything_once(database_address: Address) -> None:
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address) as one,
        open_retention(database_address) as two,
        open_database(database_address) as database,
    ):
        ids = [await setup.confirmed(days) for days in (50, 2, 1)]
        async with ArchiveSession.begin(database, 30) as session:
            assert session is not None
            assert not await one.round(), "another has the lock"
        assert any(await asyncio.gather(one.round(), two.round(), one.round(), two.round()))
        assert set(await setup.store.versions(ids)) == set(ids[1:])
        assert setup.count("archived_orders") == 2


async def test_an_archive_session_that_dies_changes_nothing_and_the_next_round_goes_on(
    database_address: Address,
) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        ids = [await setup.confirmed(days) for days in (50, 2)]
        before = await setup.everything(ids)
        with psycopg.connect(database_address.conninfo()) as other:
            other.execute("SELECT FROM orders WHERE id = %s FOR UPDATE", (ids[1],))
            round_ = asyncio.create_task(retention.round())
            ((pid,),) = await until(lambda: setup.sql(BLOCKED))
            setup.sql("SELECT pg_terminate_backend(%s)", pid)
            with pytest.raises(UnavailableError):
                await round_
            assert await setup.everything(ids) == before
            assert setup.partitions() == []
        assert await retention.round()
        assert set(await setup.store.versions(ids)) == {ids[1]}


async def test_partitions_that_were_detached_before_a_crash_are_dropped_by_the_next_round(
    database_address: Address,
) -> None:
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address) as retention,
        open_database(database_address) as database,
    ):
        order_id = await setup.confirmed(50, key="k")
        async with ArchiveSession.begin(database, 30) as session:
            assert session is not None
            await session.archive(rest=timedelta(0))
            (partition,), _ = await session.expired()
            assert await session.detach(partition)
        assert await setup.store.order(order_id) is None
        assert (await setup.store.create(new_order(key="k"))).order_id == order_id, "the key outlives its order"
        again = await setup.claimed()
        setup.sql(
            "UPDATE orders SET created_at = %s, status = 'failed', finished_at = %s WHERE id = %s",
            *[partition.start] * 2,
            again.order.id,
        )
        await retention.round()
        assert not (await setup.store.create(new_order(key="k"))).replayed
        assert setup.partitions() == []
        assert await setup.store.versions([again.order.id]) == {}


async def test_long_reads_of_the_archive_postpone_the_drop_and_no_reader_waits_behind_it(
    database_address: Address,
) -> None:
    reported = RecordingObserver()
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address, observer=reported) as retention,
    ):
        old = await setup.confirmed(50)
        async with open_database(database_address) as database, ArchiveSession.begin(database, 30) as session:
            assert session is not None
            await session.archive(rest=timedelta(0))
        with psycopg.connect(database_address.conninfo()) as other:
            other.execute("SELECT count(*) FROM archived_orders")
            await retention.round()
            assert reported.busy == setup.partitions()
            assert set(await setup.store.versions([old])) == {old}
        await retention.round()
        assert await setup.store.versions([old]) == {}


async def test_partitions_are_made_for_the_time_of_any_order(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address, days=36_000) as months:
        ids = [await setup.confirmed(days) for days in (4_000, 400, 30)]
        async with open_retention(database_address, days=36_500) as retention:
            assert await retention.round()
        ids += [await setup.confirmed(days) for days in (4_001, 29, 0)]
        setup.sql("CREATE TABLE archived_orders_20200101 (x int)")
        await months.round()
        assert set(await setup.store.versions(ids)) == set(ids)


def day(text: str, end: str) -> Partition:
    def at(one: str) -> datetime:
        return datetime.fromisoformat(one).replace(tzinfo=UTC)

    return Partition(f"archived_orders_{text.replace('-', '')}", at(text), at(end))


AT = datetime(2026, 2, 14, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("there", "days_kept", "made"),
    [
        ([], 30, day("2026-02-14", "2026-02-15")),
        ([], MOST_DAYS, day("2026-02-14", "2026-02-15")),
        ([], MOST_DAYS + 1, day("2026-02-01", "2026-03-01")),
        ([day("2026-02-10", "2026-02-11"), day("2026-02-20", "2026-02-21")], 365, day("2026-02-11", "2026-02-20")),
        ([day("2026-01-01", "2026-02-01"), day("2026-03-01", "2026-04-01")], 365, day("2026-02-01", "2026-03-01")),
    ],
    ids=["a day", "still a day", "a month", "between days that were made before", "between months"],
)
def test_a_new_partition_is_a_day_or_a_month_without_what_others_hold(
    there: list[Partition], days_kept: int, made: Partition
) -> None:
    assert new_partition(AT, there, days_kept) == made


async def test_cancelling_an_archived_order_gives_the_same_answer_as_before(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        ids = [await setup.confirmed(1), await setup.failed(1)]
        before = [await setup.store.cancel(order_id) for order_id in ids]
        assert await retention.round()
        assert setup.count("archived_orders") == 2
        assert [await setup.store.cancel(order_id) for order_id in ids] == before
        confirmed, failed = before
        assert isinstance(confirmed, TooLate)
        assert isinstance(failed, TooLate)
        assert confirmed.ended
        assert failed.ended
        assert confirmed.attempt is not None
        assert confirmed.attempt["outcome"] == "landed"


async def test_the_archive_holds_the_attempts_whole(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        order_id = await setup.confirmed()
        columns = "t.n, t.venue, t.signature, t.payload, t.last_valid_height, t.quote, t.created_at, t.outcome, t.proof"
        before = setup.sql(f"SELECT {columns} FROM attempts t WHERE order_id = %s", order_id)  # noqa: S608
        await retention.round()
        source = "archived_orders o, json_populate_recordset(NULL::attempts, o.tries) t"
        assert setup.sql(f"SELECT {columns} FROM {source} WHERE o.id = %s", order_id) == before  # noqa: S608
