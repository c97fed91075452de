"""Statistics of more orders than are read."""

import psycopg

from dexexec.store import Address
from dexexec.store.order_stats import NEWEST_ORDERS, read_order_stats
from tests.support.long_history import fill
from tests.support.parts import open_database

EARLIER = 7
LATELY = """
UPDATE orders SET created_at = clock_timestamp() - interval '10 min', finished_at = clock_timestamp();
UPDATE order_events e SET at = o.created_at + e.seq * interval '0.2 s' FROM orders o WHERE o.id = e.order_id
"""


async def test_of_more_orders_than_are_read_the_newest_are_counted_and_the_answer_is_marked(
    database_address: Address,
) -> None:
    async with open_database(database_address) as database:
        fill(database_address.conninfo(), NEWEST_ORDERS + EARLIER, 1)
        assert (await read_order_stats(database, 15, 10)).buckets == (), "all are older"
        with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
            connection.execute(LATELY)
        found = await read_order_stats(database, 15, 10)
        assert found.truncated
        accepted = sum(bucket.accepted for bucket in found.buckets)
        assert accepted == NEWEST_ORDERS + 1, "one more shows that there are more"
        assert sum(bucket.landed for bucket in found.buckets) == sum(b.confirmed for b in found.buckets) == accepted
        assert {bucket.p99_ms for bucket in found.buckets} == {1_000}
        with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
            connection.execute("UPDATE orders SET created_at = created_at - interval '1 h' WHERE tx_hash < '1'")
        fewer = await read_order_stats(database, 15, 10)
        assert not fewer.truncated
        assert 0 < sum(bucket.accepted for bucket in fewer.buckets) < NEWEST_ORDERS
