"""The list of orders by its filters, before and after orders move to the archive: the same pages and totals."""

from typing import Any

from dexexec.domain.cancellation import Pair
from dexexec.domain.order_filter import ALL_ORDERS, OrderFilter, OrderTotals
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL
from dexexec.store import Address, Store
from dexexec.store import order_lists as lists
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.parts import open_store
from tests.support.waiting import until

# What the orders of this test have beside what the service has written.
ABOUT = """
UPDATE orders SET tag = CASE n %% 2 WHEN 0 THEN 'grid' END, owner = n %% 3, wallet = CASE n WHEN 3 THEN 'desk-2' END,
    dry_run = n = 4, type = CASE n WHEN 5 THEN 'limit' ELSE type END, oco_group = CASE WHEN n IN (1, 6) THEN 'exit' END,
    followed_up_at = clock_timestamp(), parent = CASE n WHEN 2 THEN %s::uuid END
FROM (SELECT id AS numbered, row_number() OVER (ORDER BY created_at, id) AS n FROM orders) t WHERE id = numbered
"""

COLUMNS = """
SELECT attname::text FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0 AND NOT attisdropped
AND attgenerated = '' ORDER BY attnum
"""


async def read(store: Store, wanted: OrderFilter, limit: int) -> list[dict[str, object]]:
    """All pages of a list."""
    found: list[dict[str, object]] = []
    cursor: Any = None
    while page := await store.orders(limit, cursor, wanted):
        cursor = page[-1].pop("_cursor")
        found += [{name: value for name, value in order.items() if name != "_cursor"} for order in page]
    return found


async def test_lists_and_totals_are_the_same_before_and_after_orders_are_archived(database_address: Address) -> None:
    async with open_store(database_address) as store:
        setup = ArchiveSetup(database_address, store)
        ids = [await setup.confirmed(days) for days in (9, 8, 3, 3)] + [await setup.failed(days) for days in (9, 2)]
        live = (await setup.submitted()).order.id
        setup.sql(ABOUT, ids[0])
        [venue] = {str(row["venue"]) for row in await store.orders(9, None) if row["venue"]}
        filters = [
            ALL_ORDERS,
            OrderFilter(statuses=frozenset({Status.CONFIRMED})),
            OrderFilter(statuses=frozenset({Status.FAILED, Status.SUBMITTED})),
            OrderFilter(venue=venue),
            OrderFilter(venue=venue, statuses=frozenset({Status.CONFIRMED})),
            OrderFilter(reason="no-route"),
            OrderFilter(pair=Pair(WSOL, USDC)),
            OrderFilter(tag="grid"),
            OrderFilter(type=OrderType.LIMIT),
            OrderFilter(type=OrderType.MARKET, dry_run=False),
            OrderFilter(dry_run=True),
            OrderFilter(oco_group="exit"),
            OrderFilter(parent=ids[0]),
            OrderFilter(wallet="desk-2"),
            OrderFilter(owners=(1,)),
            OrderFilter(owners=(0, 2), tag="grid"),
        ]
        before = [(await read(store, one, 2), await store.order_totals(one)) for one in filters]
        assert all(found for found, _ in before), "each filter finds something"

        async def archived() -> bool:
            async with open_retention(database_address) as archiver:
                await archiver.round()
            return setup.count("archived_orders") == len(ids)

        await until(archived)
        assert [str(one) for one in [row[0] for row in setup.sql("SELECT id FROM orders")]] == [str(live)]
        for wanted, (rows, totals) in zip(filters, before, strict=True):
            assert await store.order_totals(wanted) == totals, wanted
            for limit in (1, 2, 100):
                assert await read(store, wanted, limit) == rows, wanted


async def test_beyond_its_limit_a_total_is_a_lower_bound(database_address: Address) -> None:
    async with open_store(database_address) as store:
        setup = ArchiveSetup(database_address, store)
        copies = lists.COUNTED // 2
        for _ in range(2):
            await setup.failed(3)
        async with open_retention(database_address) as archiver:
            await archiver.round()
        await setup.failed()
        names = ", ".join(name for (name,) in setup.sql(COLUMNS))
        kept = names.replace("id, ", "gen_random_uuid(), ", 1)
        insert = f"INSERT INTO {{}} ({names}) SELECT {kept} FROM {{}}, generate_series(2, %s)"  # noqa: S608
        setup.sql(insert.format("orders", "orders"), copies)
        assert await store.order_totals(ALL_ORDERS) == OrderTotals(
            by_status={Status.FAILED: copies + 2}, at_least=False
        )
        setup.sql(insert.format("orders", "(SELECT * FROM orders LIMIT 1) one"), copies)
        totals = await store.order_totals(ALL_ORDERS)
        assert (totals.orders, totals.at_least) == (lists.COUNTED + 1, True)
