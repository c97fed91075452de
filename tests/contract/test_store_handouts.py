"""Transactions that clients sign: one per order, taken once, gone with the attempt that it becomes."""

import asyncio
from dataclasses import replace
from typing import Any

from dexexec.domain.cancellation import Cancelled
from dexexec.domain.funds import Need, Spending
from dexexec.domain.handout import Handout, client_wallet
from dexexec.domain.status import Status
from dexexec.domain.token import USDC
from dexexec.store import Claimed, Store, WorkerSession
from tests.support.parts import new_order
from tests.support.prepared_orders import ROUTED, Open, attempt, claimed_by, step

ADDRESS = "GjJihynEhUW1Gm3kAcDmXzuF6zYW6yfBvXjU5ubL64EB"
HUGE = 2**64 - 1
HANDOUT = Handout(
    n=1,
    venue="raydium",
    message=b"\x80message",
    signers=(ADDRESS, "co-signer"),
    last_valid_height=150,
    network="localnet",
    genesis="genesis",
    quoted={"amountIn": "7"},
    most_in=HUGE,
    impact_ppm=12,
    spending=Spending(ADDRESS, 9, (Need(USDC, HUGE, HUGE),)),
    cosigned={"venue": b"\x00signature"},
)
SIGNATURE = b"\x01" * 64
BY_CLIENT: dict[str, Any] = {"by_client": True}


async def handed_out(store: Store, owner: int | None = None) -> tuple[Claimed, WorkerSession]:
    """An order whose transaction is with its client."""
    order = replace(new_order(), wallet=client_wallet(ADDRESS), owner=owner)
    await store.create(order)
    worker = await store.begin("w", 20)
    claimed = await claimed_by(store, worker, order.id)
    await store.advance(step(claimed, 1, *ROUTED))
    waits = (Status.WAITING, {"waitsFor": "signature"})
    assert await store.advance(step(claimed, 3, waits, handout=HANDOUT, resume_in_ms=60_000, **BY_CLIENT))
    return claimed, worker


def without_age(handout: Handout | None) -> Handout | None:
    return handout and replace(handout, age_ms=0)


async def test_what_is_handed_out_is_read_back_whole(stores: Open) -> None:
    async with stores() as store:
        claimed, worker = await handed_out(store, owner=1)
        order_id = claimed.order.id
        assert without_age(await store.handout(order_id)) == HANDOUT
        awaited = await store.awaited(order_id, 1)
        assert awaited is not None
        assert (awaited.status, awaited.ended, awaited.wallet) == (Status.WAITING, False, client_wallet(ADDRESS))
        assert without_age(awaited.handout) == HANDOUT
        assert await store.awaited(order_id, 2) is None, "it is another key's"
        await worker.end()


async def test_one_signature_is_kept_and_makes_the_order_due(stores: Open) -> None:
    async with stores() as store:
        claimed, worker = await handed_out(store)
        order_id = claimed.order.id
        assert await store.claim(worker.id, [order_id]) == [], "it is not due for a minute"
        assert await store.keep_signature(order_id, b"another message", SIGNATURE) is None
        kept = await asyncio.gather(*(store.keep_signature(order_id, HANDOUT.message, SIGNATURE) for _ in range(3)))
        assert kept == [1, 1, 1]
        assert await store.keep_signature(order_id, HANDOUT.message, b"\x02" * 64) is None
        assert without_age(await store.handout(order_id)) == replace(HANDOUT, signature=SIGNATURE)
        assert len(await store.claim(worker.id, [order_id])) == 1
        await worker.end()


async def test_a_new_transaction_takes_the_place_of_the_old_one_with_its_signature(stores: Open) -> None:
    async with stores() as store:
        claimed, worker = await handed_out(store)
        order_id = claimed.order.id
        await store.keep_signature(order_id, HANDOUT.message, SIGNATURE)
        again = await claimed_by(store, worker, order_id)
        newer = replace(HANDOUT, message=b"\x80another")
        events: tuple[tuple[Status, dict[str, object]], ...] = (
            (Status.ROUTING, {}),
            (Status.BUILDING, {}),
            (Status.WAITING, {}),
        )
        assert await store.advance(step(again, 4, *events, handout=newer, resume_in_ms=0, **BY_CLIENT))
        assert without_age(await store.handout(order_id)) == newer
        assert await store.keep_signature(order_id, HANDOUT.message, SIGNATURE) is None
        await worker.end()


async def test_a_stale_worker_hands_nothing_out(stores: Open) -> None:
    async with stores() as store:
        claimed, worker = await handed_out(store)
        order_id = claimed.order.id
        late = replace(HANDOUT, message=b"\x80late")
        stale = step(claimed, 2, (Status.WAITING, {}), handout=late, resume_in_ms=0, **BY_CLIENT)
        assert await store.advance(stale) is None
        assert without_age(await store.handout(order_id)) == HANDOUT
        await worker.end()


async def test_it_is_gone_with_the_attempt_that_it_becomes_and_with_the_orders_end(stores: Open) -> None:
    async with stores() as store:
        claimed, worker = await handed_out(store)
        order_id = claimed.order.id
        await store.keep_signature(order_id, HANDOUT.message, SIGNATURE)
        again = await claimed_by(store, worker, order_id)
        events: tuple[tuple[Status, dict[str, object]], ...] = (
            (Status.ROUTING, {}),
            (Status.BUILDING, {}),
            (Status.SUBMITTED, {}),
        )
        assert await store.advance(step(again, 4, *events, attempt=attempt(1, "s"), **BY_CLIENT))
        assert await store.handout(order_id) is None
        awaited = await store.awaited(order_id)
        assert awaited is not None
        assert (awaited.handout, awaited.recorded_n) == (None, 1)
        await worker.end()


async def test_a_cancelled_order_takes_no_signature(stores: Open) -> None:
    async with stores() as store:
        claimed, worker = await handed_out(store)
        order_id = claimed.order.id
        assert isinstance(await store.cancel(order_id), Cancelled)
        assert await store.keep_signature(order_id, HANDOUT.message, SIGNATURE) is None
        awaited = await store.awaited(order_id)
        assert awaited is not None
        assert (awaited.ended, awaited.handout) == (True, None)
        await worker.end()
