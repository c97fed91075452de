"""What attempts cost is kept with their outcome and summed exactly; see `test_store_port.py`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.cost import AttemptCost, MintSum
from dexexec.domain.event import Detail
from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.store import CostQuery, CostReport, GroupBy, Resolution, Store, WorkerSession
from tests.support.parts import new_order
from tests.support.prepared_orders import Open, attempt, claimed_by, one_order, step, submitted

HUGE = 2**64 - 1
EARLY = CostQuery(since=datetime(2000, 1, 1, tzinfo=UTC), until=None, group_by=())
FAILED = AttemptCost.of_failure(5_700, NetworkCost(base_fee=5_000, priority_fee=700))
LANDED = AttemptCost(
    landed=True,
    fee=HUGE,
    network=NetworkCost(base_fee=5_000, priority_fee=HUGE - 5_000, rent_paid=2_039_280, rent_returned=7),
    venue_fee=25,
    venue_fee_mint=WSOL,
    slippage_mint=USDC,
    slippage=-3,
    venue_slippage=4,
)


async def failed_then_filled(
    store: Store, worker: WorkerSession, name: str, tag: str | None = None, **more: Any
) -> UUID:
    """An order whose first attempt failed on the chain and whose second one landed for good."""
    order_id = (await store.create(replace(new_order(), tag=tag, **more))).order_id
    claimed = await claimed_by(store, worker, order_id)
    await submitted(store, claimed, f"{name} 1")
    proof = {"slot": 7, "fee": "5700", "cost": FAILED.detail()}
    await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=Resolution(1, Outcome.FAILED, proof)))
    await store.advance(step(claimed, 5, (Status.BUILDING, {}), rounds=1))
    await store.advance(step(claimed, 6, (Status.SUBMITTED, {}), attempt=attempt(2, f"{name} 2")))
    landed = Resolution(2, Outcome.LANDED, {"slot": 9, "finalized": True, "cost": LANDED.detail()})
    last = step(claimed, 7, (Status.CONFIRMED, {}), final=True, fill=Fill(10, 20, HUGE, 9), resolution=landed)
    assert await store.advance(last)
    return order_id


def sums(report: CostReport) -> tuple[int, int, int, int]:
    total = report.total
    return total.swaps, total.failed_attempts, total.fees, total.failed_fees


async def test_sums_have_every_attempt_on_the_chain_exactly(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        for name in ("a", "b"):
            await failed_then_filled(store, worker, name)
        report = await store.costs(EARLY)
        assert sums(report) == (2, 2, 2 * (HUGE + 5_700), 11_400)
        total = report.total
        assert (total.base_fees, total.priority_fees) == (20_000, 2 * (HUGE - 5_000 + 700))
        assert (total.rent_paid, total.rent_returned) == (4_078_560, 14)
        assert (total.split_unknown, total.rent_unknown, total.quote_unknown) == (0, 0, 0)
        assert total.mints == {WSOL: MintSum(venue_fees=50), USDC: MintSum(slippage=-6, venue_slippage=8)}
        assert (report.groups, report.more, report.groups_omitted, report.mints_omitted) == ([], False, 0, False)
        await worker.end()


async def test_only_outcomes_that_are_proven_count_and_only_in_their_time(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, await one_order(store))
        await submitted(store, claimed, "s")
        seen = Resolution(1, None, {"slot": 9, "finalized": False, "cost": LANDED.detail()})
        landed = step(claimed, 4, (Status.CONFIRMED, {}), fill=Fill(10, 20, HUGE, 9), resolution=seen)
        assert await store.advance(landed)
        assert sums(await store.costs(EARLY)) == (0, 0, 0, 0)
        before = (await store.costs(EARLY)).until
        final = Resolution(1, Outcome.LANDED, {"slot": 9, "finalized": True, "cost": LANDED.detail()})
        last = step(claimed, 5, (Status.CONFIRMED, {}), final=True, fill=Fill(10, 20, HUGE, 9), resolution=final)
        assert await store.advance(last)
        assert sums(await store.costs(EARLY)) == (1, 0, HUGE, 0)
        later = before + timedelta(hours=1)
        assert sums(await store.costs(CostQuery(since=EARLY.since, until=before, group_by=()))) == (0, 0, 0, 0)
        assert sums(await store.costs(CostQuery(since=before, until=later, group_by=()))) == (1, 0, HUGE, 0)
        assert sums(await store.costs(CostQuery(since=later, until=None, group_by=()))) == (0, 0, 0, 0)
        await worker.end()


async def test_an_attempt_that_never_landed_has_no_costs(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, await one_order(store))
        await submitted(store, claimed, "s")
        gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 200})
        assert await store.advance(step(claimed, 4, (Status.EXPIRED, {}), final=True, resolution=gone))
        assert sums(await store.costs(EARLY)) == (0, 0, 0, 0)
        await worker.end()


async def test_an_attempt_that_is_found_to_have_landed_after_all_counts_once(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, await one_order(store))
        await submitted(store, claimed, "one")
        gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 200})
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=gone))
        late = Resolution(1, Outcome.LANDED, {"slot": 9, "foundLate": True, "cost": LANDED.detail()})
        events: tuple[tuple[Status, Detail], ...] = (
            (Status.BUILDING, {}),
            (Status.SUBMITTED, {}),
            (Status.CONFIRMED, {}),
        )
        last = step(claimed, 5, *events, final=True, fill=Fill(1, 2, HUGE, 9), corrections=(late,), tx_hash="one")
        assert await store.advance(last)
        assert await store.advance(last) is None
        assert sums(await store.costs(EARLY)) == (1, 0, HUGE, 0)
        await worker.end()


@pytest.mark.parametrize(
    ("group_by", "expected"),
    [
        ((GroupBy.VENUE,), [({"venue": "here"}, 3)]),
        ((GroupBy.TAG,), [({"tag": "dca"}, 2), ({"tag": None}, 1)]),
        ((GroupBy.TAG, GroupBy.VENUE), [({"venue": "here", "tag": "dca"}, 2), ({"venue": "here", "tag": None}, 1)]),
    ],
)
async def test_sums_are_grouped_by_what_was_wished(
    stores: Open, group_by: tuple[GroupBy, ...], expected: list[tuple[dict[str, str | None], int]]
) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        for name, tag in (("a", "dca"), ("b", None), ("c", "dca")):
            await failed_then_filled(store, worker, name, tag)
        report = await store.costs(CostQuery(since=EARLY.since, until=None, group_by=group_by))
        assert [(dict(key), group.swaps) for key, group in report.groups] == expected
        assert sum(group.fees for _, group in report.groups) == report.total.fees == 3 * (HUGE + 5_700)
        first = report.groups[0][1]
        assert first.mints[WSOL] == MintSum(venue_fees=25 * first.swaps)
        assert report.total.mints[USDC] == MintSum(slippage=-9, venue_slippage=12)
        await worker.end()


async def test_the_day_is_that_of_the_proof_in_utc(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        before = (await store.costs(EARLY)).until
        await failed_then_filled(store, worker, "a")
        report = await store.costs(CostQuery(since=EARLY.since, until=None, group_by=(GroupBy.DAY,)))
        days = {f"{at:%Y-%m-%d}" for at in (before, report.until)}  # two of them if midnight was in between
        assert {key[GroupBy.DAY] for key, _ in report.groups} <= days
        assert sum(group.swaps for _, group in report.groups) == 1
        await worker.end()
