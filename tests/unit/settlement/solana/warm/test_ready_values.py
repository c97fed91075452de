"""Blockhash and rent are there before an order comes, and what is too old is read anew."""

from dataclasses import dataclass, field

import pytest

from dexexec.domain.rent import Rent
from dexexec.domain.swap import VALID_FOR, Blockhash
from dexexec.settlement.solana.warm.ready_values import LEAST_LEFT, REFRESH_BLOCKS, RENT_SECONDS, ReadyValues
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable
from tests.support.parts import running

SLOT = 0.2
USABLE = (VALID_FOR - LEAST_LEFT) * SLOT


@dataclass
class Cluster:
    """A cluster whose blocks come with time, a block per slot, and a node that may be away."""

    clock: ManualClock
    away: bool = False
    rent_is: Rent = field(default_factory=lambda: Rent(6_960))
    requests: list[str] = field(default_factory=list)

    @property
    def slot(self) -> int:
        return 1_000 + round(self.clock.monotonic() / SLOT)

    async def blockhash(self) -> Blockhash:
        self.requests.append("blockhash")
        if self.away:
            raise Unreachable("away")
        return Blockhash(f"block {self.slot}", self.slot + VALID_FOR, self.slot)

    async def rent(self) -> Rent:
        self.requests.append("rent")
        if self.away:
            raise Unreachable("away")
        return self.rent_is


def ready_on(cluster: Cluster, newest_slot: int = 0) -> ReadyValues:
    return ReadyValues(cluster, cluster.clock, slot_seconds=lambda: SLOT, newest_slot=lambda: newest_slot)


async def test_an_order_gets_a_blockhash_that_was_read_before() -> None:
    cluster = Cluster(ManualClock())
    ready = ready_on(cluster)
    async with running(ready.run()):
        await cluster.clock.sleep(SLOT)
        before = len(cluster.requests)
        blockhash = await ready.blockhash()
        assert len(cluster.requests) == before
        assert blockhash.last_valid_height == blockhash.slot + VALID_FOR, "hash and height are of one answer"


async def test_a_kept_blockhash_shows_how_far_the_chain_may_have_come_since() -> None:
    cluster = Cluster(ManualClock())
    for notified, age in ((0, 5), (1_009, 9)):
        ready = ready_on(cluster, notified)
        first = await ready.blockhash()
        assert (first.age, first.newest_slot, first.newest_height) == (0, first.slot, first.slot)
        cluster.clock.advance(5.5 * SLOT)
        kept = await ready.blockhash()
        assert (kept.hash, kept.age) == (first.hash, age)
        assert (kept.newest_slot, kept.newest_height) == (first.slot + age, first.slot + age)
        cluster.clock = ManualClock()


async def test_it_is_renewed_long_before_it_is_too_old_to_be_used() -> None:
    cluster = Cluster(ManualClock())
    ready = ready_on(cluster)
    async with running(ready.run()):
        for _ in range(40):
            await cluster.clock.sleep(1.1)
            assert cluster.slot - (await ready.blockhash()).slot <= 2 * REFRESH_BLOCKS


async def test_while_nodes_are_away_it_serves_as_long_as_a_hundred_blocks_are_left() -> None:
    cluster = Cluster(ManualClock())
    ready = ready_on(cluster)
    first = await ready.blockhash()
    cluster.away = True
    cluster.clock.advance(USABLE)
    assert await ready.blockhash() == first
    cluster.clock.advance(SLOT)
    with pytest.raises(Unreachable):
        await ready.blockhash()
    cluster.away = False
    assert (await ready.blockhash()).slot == cluster.slot


async def test_slots_count_as_well_as_time() -> None:
    """A slot time that was measured too long would keep a blockhash for too long."""
    cluster = Cluster(ManualClock())
    newest = cluster.slot + VALID_FOR - LEAST_LEFT
    ready = ready_on(cluster, newest)
    await ready.blockhash()
    await ready.blockhash()
    assert cluster.requests == ["blockhash"]
    ready = ready_on(cluster, newest + 1)
    await ready.blockhash()
    await ready.blockhash()
    assert cluster.requests == ["blockhash"] * 3, "too old at once: each order reads its own"


async def test_without_running_every_order_reads_one_when_the_last_is_used_up() -> None:
    cluster = Cluster(ManualClock())
    ready = ready_on(cluster)
    assert ready.blockhash_age() is None
    await ready.blockhash()
    cluster.clock.advance(SLOT)
    assert ready.blockhash_age() == pytest.approx(1)
    cluster.clock.advance(USABLE)
    assert (await ready.blockhash()).slot == cluster.slot


async def test_the_rent_follows_the_cluster_and_survives_its_nodes() -> None:
    cluster = Cluster(ManualClock())
    ready = ready_on(cluster)
    async with running(ready.run()):
        await cluster.clock.sleep(SLOT)
        assert (await ready.rent()).exempt(165) == 2_039_280
        cluster.rent_is = Rent(5_080)
        await cluster.clock.sleep(RENT_SECONDS + 2 * REFRESH_BLOCKS * SLOT)
        assert (await ready.rent()).exempt(165) == 1_488_440
        cluster.away = True
        await cluster.clock.sleep(2 * RENT_SECONDS)
        assert (await ready.rent()).exempt(0) == 650_240


async def test_a_rent_that_was_never_read_is_requested() -> None:
    cluster = Cluster(ManualClock(), away=True)
    with pytest.raises(Unreachable):
        await ready_on(cluster).rent()
