"""Statistics of the newest orders: one suite for Postgres and for the store in memory."""

from datetime import timedelta

from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.store import Resolution, Store
from tests.support.prepared_orders import Open, claimed_new_order, step, submitted


async def ended(store: Store, signature: str, outcome: Outcome) -> None:
    """An order whose only attempt ended like this."""
    _, worker, claimed = await claimed_new_order(store)
    await submitted(store, claimed, signature)
    resolution = Resolution(1, outcome, {}, ())
    if outcome is Outcome.LANDED:
        fill = Fill(10, 20, 5_000, 77)
        assert await store.advance(step(claimed, 4, (Status.CONFIRMED, {}), fill=fill, resolution=resolution))
    else:
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=resolution))
    await worker.end()


async def test_orders_are_counted_with_their_ends_and_the_outcomes_of_their_transactions(stores: Open) -> None:
    async with stores() as store:
        empty = await store.order_stats(15, 10)
        assert (empty.buckets, empty.truncated, empty.bucket_seconds) == ((), False, 10)
        assert timedelta(minutes=15) <= empty.until - empty.since < timedelta(minutes=15, seconds=10)
        for signature in ("a", "b"):
            await ended(store, signature, Outcome.LANDED)
        await ended(store, "c", Outcome.EXPIRED)
        await ended(store, "d", Outcome.FAILED)
        # The orders may be in two buckets: only their sums are certain.
        found = await store.order_stats(15, 10)
        buckets = found.buckets
        assert sum(bucket.accepted for bucket in buckets) == 4
        assert sum(bucket.confirmed for bucket in buckets) == 2
        assert sum(bucket.other for bucket in buckets) == 2
        outcomes = [(bucket.landed, bucket.expired, bucket.failed_on_chain) for bucket in buckets]
        assert [sum(counts) for counts in zip(*outcomes, strict=True)] == [2, 1, 1]
        for bucket in buckets:
            assert bucket.at.timestamp() % 10 == 0
            assert found.since <= bucket.at <= found.until
            assert (bucket.p50_ms is not None) is (bucket.confirmed > 0)
            assert bucket.p50_ms is None or 0 <= bucket.p50_ms <= (bucket.p99_ms or 0)
        assert (await store.order_stats(15, 10, owner=7)).buckets == ()
