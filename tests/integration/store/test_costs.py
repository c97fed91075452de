"""Sums of costs on a real Postgres: in parts of a bounded size, after archiving, and of records of older versions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import dexexec.store
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.cost import AttemptCost, CostSum, MintSum
from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.store import Address, CostQuery, CostReport, GroupBy, Resolution, costs
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.compared_records import comparison_setup
from tests.support.parts import new_order, open_database, open_store

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
EVER = CostQuery(since=datetime(1970, 1, 1, tzinfo=UTC), until=None, group_by=())
INSERT = """
INSERT INTO attempt_costs (order_id, n, at, venue, tag, landed, fee, venue_fee, venue_fee_mint)
VALUES (%s, 1, %s, %s, %s, true, %s, %s, %s)
"""
COST = AttemptCost(
    landed=True,
    fee=5_700,
    network=NetworkCost(base_fee=5_000, priority_fee=700, rent_paid=2_039_280),
    venue_fee=25,
    venue_fee_mint=WSOL,
    slippage_mint=USDC,
    slippage=3,
    venue_slippage=-1,
)
MIGRATION = Path(dexexec.store.__file__).parents[1] / "sql" / "0020_attempt_costs.sql"


def insert(setup: ArchiveSetup, at: datetime, **values: Any) -> None:
    """A row of costs, of an order that is not there."""
    row = {"venue": "v", "tag": None, "fee": 5_000, "venue_fee": None, "mint": None, **values}
    setup.sql(INSERT, uuid4(), at, row["venue"], row["tag"], row["fee"], row["venue_fee"], row["mint"])


async def filled(setup: ArchiveSetup) -> UUID:
    """An order that ended well and has its cost."""
    claimed = await setup.submitted()
    resolution = Resolution(1, Outcome.LANDED, {"slot": 7, "cost": COST.detail()})
    await setup.write(claimed, 4, (Status.CONFIRMED, {}), final=True, resolution=resolution)
    return claimed.order.id


def sum_of(*attempts: AttemptCost) -> CostSum:
    total = CostSum()
    for attempt in attempts:
        total.add(attempt)
    return total


async def read(address: Address, query: CostQuery, most: int = costs.MOST_ATTEMPTS) -> CostReport:
    async with open_database(address) as database:
        return await costs.read_costs(database, query, most)


async def test_more_attempts_than_one_request_sums_up_continue_where_it_ended(database_address: Address) -> None:
    async with open_store(database_address) as store:
        setup = ArchiveSetup(database_address, store)
        for second in (0, 1, 1, 1, 2, 3, 5):
            insert(setup, JANUARY + timedelta(seconds=second), fee=10**second)
        fees = []
        query = CostQuery(since=JANUARY, until=JANUARY + timedelta(seconds=5), group_by=())
        while True:
            report = await read(database_address, query, most=2)
            fees.append(report.total.fees)
            if not report.more:
                break
            query = CostQuery(since=report.until, until=query.until, group_by=())
        # Of one time are three, more than a request should sum up: they stay together.
        assert fees == [1, 10 + 10 + 10, 100 + 1_000]
        assert report.until == JANUARY + timedelta(seconds=5)


async def test_the_end_of_a_part_is_never_in_both(database_address: Address) -> None:
    async with open_store(database_address) as store:
        setup = ArchiveSetup(database_address, store)
        for microsecond in range(10):
            insert(setup, JANUARY + timedelta(microseconds=microsecond))
        report = await read(database_address, CostQuery(since=JANUARY, until=None, group_by=()), most=4)
        assert (report.more, report.until, report.total.swaps) == (True, JANUARY + timedelta(microseconds=4), 4)


async def test_too_many_groups_are_cut_from_the_end_and_counted_and_the_total_has_them(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "MOST_GROUPS", 2)
    async with open_store(database_address) as store:
        setup = ArchiveSetup(database_address, store)
        for tag in ("a", "b", "c", None):
            insert(setup, JANUARY, tag=tag, venue_fee=7, mint=WSOL)
        report = await read(database_address, CostQuery(since=JANUARY, until=None, group_by=(GroupBy.TAG,)))
        assert [key[GroupBy.TAG] for key, _ in report.groups] == ["a", "b"]
        assert (report.groups_omitted, report.total.swaps) == (2, 4)
        assert report.total.mints == {WSOL: MintSum(venue_fees=28)}
        assert not report.mints_omitted


async def test_too_many_mints_are_reported_and_the_networks_sums_are_whole(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "MOST_MINTS", 2)
    async with open_store(database_address) as store:
        setup = ArchiveSetup(database_address, store)
        for mint in ("a", "b", "c"):
            insert(setup, JANUARY, venue_fee=7, mint=mint)
        report = await read(database_address, CostQuery(since=JANUARY, until=None, group_by=(GroupBy.VENUE,)))
        assert (report.mints_omitted, list(report.total.mints)) == (True, ["a", "b"])
        assert (report.total.fees, report.groups[0][1].fees) == (15_000, 15_000)


async def test_an_archived_order_counts_as_before_and_a_dropped_one_no_more(database_address: Address) -> None:
    async with open_store(database_address) as store, open_retention(database_address, days=30) as retention:
        setup = ArchiveSetup(database_address, store)
        orders = [await filled(setup) for _ in range(2)]
        before = (await store.order(orders[0]) or {})["cost"]
        setup.age(2, orders[0])
        setup.age(40, orders[1])
        await retention.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (0, 1)
        assert (await store.order(orders[0]) or {})["cost"] == before
        assert (await store.costs(EVER)).total == sum_of(COST)
        assert setup.sql("SELECT order_id FROM attempt_costs") == [(orders[0],)]


async def test_costs_of_older_records_are_taken_from_their_proofs_and_events(database_address: Address) -> None:
    async with open_store(database_address) as store, open_retention(database_address) as retention:
        setup = ArchiveSetup(database_address, store)
        archived = await setup.confirmed(2)
        await retention.round()
        live = [await setup.confirmed(), await filled(setup)]
        failed = await setup.submitted()
        proof = {"slot": 7, "fee": "6000", "code": "slippage"}
        await setup.write(failed, 4, (Status.FAILED, {}), final=True, resolution=Resolution(1, Outcome.FAILED, proof))
        expired = await setup.submitted()
        await setup.write(expired, 4, (Status.FAILED, {}), final=True, resolution=Resolution(1, Outcome.EXPIRED, {}))
        setup.sql("UPDATE order_events SET detail = detail || '{\"txHash\": \"s\"}' WHERE detail ? 'networkFee'")
        setup.sql('UPDATE attempts SET signature = \'s\', quote = \'{"fee": "9", "feeMint": "m"}\'')
        setup.sql("DROP TABLE attempt_costs")
        setup.sql(MIGRATION.read_text())
        setup.sql("ALTER TABLE attempt_costs ADD COLUMN owner integer")  # as a later schema file does
        setup.sql(MIGRATION.with_name("0040_tips.sql").read_text())
        found = (await store.costs(EVER)).total
        assert (found.swaps, found.failed_attempts, found.failed_fees) == (3, 1, 6_000)
        assert found.fees == 5_000 + 5_700 + 6_000, "the archived one's event names another signature"
        assert (found.split_unknown, found.rent_unknown, found.quote_unknown) == (3, 2, 2)
        assert found.mints == {"m": MintSum(venue_fees=9), **sum_of(COST).mints}
        kept = {order_id for (order_id,) in setup.sql("SELECT order_id FROM attempt_costs")}
        assert kept == {archived, *live, failed.order.id}


async def test_a_recurring_order_costs_what_its_slices_cost_also_archived_ones(database_address: Address) -> None:
    async with open_store(database_address) as store, open_retention(database_address) as retention:
        setup = ArchiveSetup(database_address, store)
        parent = await setup.claimed()
        slices = [await filled(setup) for _ in range(3)]
        await filled(setup)  # of nobody
        setup.sql("UPDATE orders SET parent = %s, followed_up_at = now() WHERE id = ANY(%s)", parent.order.id, slices)
        setup.age(2, slices[0])
        await retention.round()
        assert setup.count("archived_orders") == 4
        async with open_database(database_address) as database, database.connection() as connection:
            found = await costs.read_costs_of_children(connection, parent.order.id)
        assert found == sum_of(COST, COST, COST)


async def test_an_order_that_came_back_from_the_chain_counts(database_address: Address) -> None:
    async with comparison_setup(database_address) as at:
        await at.moves_to_another_postgres()
        order_id = new_order().id
        at.lands(AttemptId(order_id, 1))
        await at.permit()
        async with open_store(database_address) as store:
            report = await store.costs(EVER)
            assert (report.total.swaps, report.total.fees, report.total.quote_unknown) == (1, 5_000, 1)
            view: Any = await store.order(order_id)
            assert (view["cost"]["fees"], view["cost"]["unknown"]["quotes"]) == ("5000", 1)
