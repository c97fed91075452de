"""Promise 25 in the store: no limit of a key is broken by what is stored or recorded, however many write at once."""

import asyncio
import random
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from dexexec.domain.amendment import Amendment
from dexexec.domain.event import Detail, Event
from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.outcome import Outcome
from dexexec.domain.policy import Policy
from dexexec.domain.policy_check import Trade
from dexexec.domain.quote import Fill, Mode
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import IdempotencyMismatchError
from dexexec.operator_errors import PolicyError
from dexexec.store import Claimed, Created, Resolution, Store, WorkerSession
from tests.contract.test_store_amending import amendment as amending
from tests.support.limit_orders import limit_order
from tests.support.parts import new_order
from tests.support.policies import DAY, NEXT_DAY, add_key, set_day, set_policy
from tests.support.prepared_orders import ROUTED, Open, attempt, claimed_by, step

OWN = 10_000_000
"""What `new_order` spends: 0.01 SOL."""
SUBMIT: tuple[tuple[Status, Detail], ...] = (*ROUTED, (Status.SUBMITTED, {}))


def limited(**limits: Any) -> Policy:
    return Policy(**limits)


def per_day(orders: float) -> Policy:
    """A day's limit of so many orders."""
    return Policy(max_per_day={WSOL: int(orders * OWN)})


async def post(store: Store, owner: int, policy: Policy, order: NewOrder | None = None) -> UUID:
    """An order of that key."""
    return (await store.create(replace(order or new_order(), owner=owner), policy=policy)).order_id


async def submit(store: Store, claimed: Claimed, amount: int = OWN, n: int = 1, **changes: Any) -> list[Event] | None:
    """Record an attempt that may spend this."""
    trade = Trade(mint_in=WSOL, mint_out=USDC, most_in=amount, slippage_bps=50, impact_ppm=0, venues=("here",))
    new = replace(attempt(n, f"{claimed.order.id}/{n}"), trade=replace(trade, **changes))
    return await store.advance(
        step(claimed, claimed.order.version, *SUBMIT, venue="here", attempt=new, owner=claimed.order.owner)
    )


async def end(store: Store, claimed: Claimed, spent: int | None) -> None:
    """The order ends after its attempt: with a swap that spent this, or without one."""
    version = claimed.order.version + 3
    if spent is None:
        gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 151})
        ended = step(claimed, version, (Status.EXPIRED, {}), resolution=gone, final=True)
    else:
        final = Resolution(1, Outcome.LANDED, {"slot": 7, "finalized": True})
        fill = Fill(spent, 1_500_000, 5_000, 7)
        ended = step(claimed, version, (Status.CONFIRMED, {}), resolution=final, final=True, fill=fill)
    assert await store.advance(ended)


async def claimed_of(store: Store, worker: WorkerSession, owner: int, policy: Policy) -> Claimed:
    """A new order of that key, claimed."""
    return await claimed_by(store, worker, await post(store, owner, policy))


# When an order is accepted


async def test_promise_25_a_days_limit_counts_orders_that_have_not_ended_with_what_they_may_spend(stores: Open) -> None:
    async with stores() as store:
        policy = per_day(2.5)
        owner = await add_key(store, policy)
        await post(store, owner, policy)
        await post(store, owner, policy, replace(limit_order(), amount_base=OWN))
        with pytest.raises(PolicyError) as caught:
            await post(store, owner, policy)
        assert caught.value.about == {
            "policy": "maxPerDay",
            "limit": f"25000000 base units of {WSOL}",
            "given": "10000000 beside 20000000 of other orders today",
        }
        assert [each.field for each in caught.value.fields] == ["amount"]
        assert len(await store.orders(10, None, OrderFilter(owners=(owner,)))) == 2, "nothing of it is stored"
        await post(store, owner, policy, new_order(amount="0.005"))
        other = await add_key(store, policy, "other")
        await post(store, other, policy)


async def test_promise_25_an_order_that_ends_without_a_swap_gives_its_amount_back(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        policy = per_day(2)
        owner = await add_key(store, policy)
        cancelled = await post(store, owner, policy)
        failed = await claimed_of(store, worker, owner, policy)
        await store.cancel(cancelled)
        assert await submit(store, failed)
        with pytest.raises(PolicyError):
            await post(store, owner, policy, new_order(amount="0.02"))
        await end(store, failed, None)
        await post(store, owner, policy, new_order(amount="0.02"))
        await worker.end()


async def test_promise_25_an_order_that_was_filled_counts_with_what_its_swap_has_spent(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        policy = per_day(2)
        owner = await add_key(store, policy)
        filled = await claimed_of(store, worker, owner, policy)
        assert await submit(store, filled)
        await end(store, filled, OWN - 1_000_000)
        with pytest.raises(PolicyError):
            await post(store, owner, policy, new_order(amount="0.012"))
        await post(store, owner, policy, new_order(amount="0.011"))
        await worker.end()


async def test_an_attempt_whose_outcome_is_unknown_counts(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        policy = per_day(1)
        owner = await add_key(store, policy)
        unknown = await claimed_of(store, worker, owner, policy)
        assert await submit(store, unknown)
        with pytest.raises(PolicyError):
            await post(store, owner, policy, new_order(amount="0.000000001"))
        await worker.end()


async def test_promise_25_a_repeated_request_gets_its_order_when_the_limit_is_used_up(stores: Open) -> None:
    async with stores() as store:
        policy = per_day(1)
        owner = await add_key(store, policy)
        first = await post(store, owner, policy, new_order(key=f"{owner}/k", body_hash=b"same"))
        again = replace(new_order(key=f"{owner}/k", body_hash=b"same"), owner=owner)
        assert await store.create(again, policy=policy) == Created(first, replayed=True)
        other_body = replace(new_order(key=f"{owner}/k", body_hash=b"other"), owner=owner)
        with pytest.raises(IdempotencyMismatchError):
            await store.create(other_body, policy=policy)
        tighter = limited(kinds=frozenset({OrderType.LIMIT}))
        once_more = replace(new_order(key=f"{owner}/k", body_hash=b"same"), owner=owner)
        assert (await store.create(once_more, policy=tighter)).replayed
        with pytest.raises(PolicyError):
            await store.create(replace(new_order(key=f"{owner}/new", body_hash=b"same"), owner=owner), policy=policy)


async def test_a_dry_run_takes_nothing_of_a_days_limit_and_is_within_it(stores: Open) -> None:
    async with stores() as store:
        policy = per_day(1)
        owner = await add_key(store, policy)
        await post(store, owner, policy)
        await post(store, owner, policy, replace(new_order(), dry_run=True))
        with pytest.raises(PolicyError):
            await post(store, owner, policy, replace(new_order(amount="0.02"), dry_run=True))


async def test_promise_25_no_more_orders_are_open_than_allowed(stores: Open) -> None:
    async with stores() as store:
        policy = limited(open_orders=3)
        owner = await add_key(store, policy)
        posted = [await post(store, owner, policy, order) for order in (new_order(), limit_order(), new_order())]
        with pytest.raises(PolicyError, match="3 open orders already"):
            await post(store, owner, policy)
        await store.cancel(posted[0])
        await post(store, owner, policy)


@pytest.mark.parametrize("kind", ["orders", "amounts"])
async def test_promise_25_of_200_orders_at_once_over_two_processes_no_more_are_accepted_than_fit(
    stores: Open, kind: str
) -> None:
    rng = random.Random(25)
    policy = per_day(17.5) if kind == "amounts" else limited(open_orders=17)
    async with stores() as one, stores() as two:
        owner = await add_key(one, policy)
        processes = (one, two)
        posting = [post(rng.choice(processes), owner, policy) for _ in range(200)]
        answers = await asyncio.gather(*posting, return_exceptions=True)
        assert sum(isinstance(answer, UUID) for answer in answers) == 17
        assert sum(isinstance(answer, PolicyError) for answer in answers) == 183


# When an attempt is recorded


async def test_promise_25_an_attempt_beyond_the_policy_of_now_writes_nothing(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        worker = await store.begin("w", 20)
        owner = await add_key(store, Policy())
        claimed = await claimed_of(store, worker, owner, Policy())
        await set_policy(store, owner, limited(max_per_order={WSOL: OWN - 1}))
        reported = len(announced)
        with pytest.raises(PolicyError) as caught:
            await submit(store, claimed)
        assert (caught.value.about["policy"], caught.value.daily) == ("maxPerOrder", False)
        assert len(announced) == reported
        assert await store.versions([claimed.order.id]) == {claimed.order.id: 1}
        await set_policy(store, owner, limited(venues=frozenset({"there"})))
        with pytest.raises(PolicyError):
            await submit(store, claimed)
        await set_policy(store, owner, limited(venues=frozenset({"here"}), max_per_order={WSOL: OWN}))
        assert await submit(store, claimed), "under the same claim"
        await worker.end()


async def test_promise_25_what_an_attempt_may_spend_counts_even_if_nothing_was_counted_before(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        policy = per_day(2)
        owner = await add_key(store, policy)
        # exactOut without a bound: what it spends is not known before a quote.
        unknown = replace(new_order(mode=Mode.EXACT_OUT), amount_base=1_500_000)
        first, second = [await claimed_by(store, worker, await post(store, owner, policy, unknown_of(unknown)))
                         for _ in range(2)]  # fmt: skip
        assert await submit(store, first, 15_000_000)
        with pytest.raises(PolicyError) as caught:
            await submit(store, second, 6_000_000)
        assert caught.value.daily
        assert await submit(store, second, 5_000_000)
        with pytest.raises(PolicyError):
            await post(store, owner, policy)
        await worker.end()


def unknown_of(order: NewOrder) -> NewOrder:
    """The same with another id."""
    return replace(order, id=uuid4())


async def test_promise_25_an_order_that_waits_over_midnight_counts_for_the_day_of_its_attempt(stores: Open) -> None:
    async with stores() as store:
        set_day(store, DAY)
        worker = await store.begin("w", 20)
        policy = per_day(1)
        owner = await add_key(store, policy)
        waits = await claimed_of(store, worker, owner, policy)
        with pytest.raises(PolicyError):
            await post(store, owner, policy)
        set_day(store, NEXT_DAY)
        today = await claimed_of(store, worker, owner, policy)
        with pytest.raises(PolicyError) as caught:
            await submit(store, waits)
        assert caught.value.daily, "the new day's limit is used up by the order that was posted on it"
        assert await store.cancel(today.order.id)
        assert await submit(store, waits)
        with pytest.raises(PolicyError):
            await post(store, owner, policy)
        await end(store, waits, OWN)
        with pytest.raises(PolicyError):
            await post(store, owner, policy)
        set_day(store, DAY)
        await post(store, owner, policy)
        await worker.end()


async def test_promise_25_attempts_of_two_processes_never_use_the_same_rest_of_a_days_limit(stores: Open) -> None:
    async with stores() as one, stores() as two:
        worker, other = await one.begin("w", 60), await two.begin("o", 60)
        owner = await add_key(one, Policy())
        claims = [await claimed_of(store, by, owner, Policy()) for store, by in [(one, worker), (two, other)] * 10]
        await set_policy(one, owner, per_day(7.9))
        recording = (submit((one, two)[n % 2], claimed) for n, claimed in enumerate(claims))
        answers = await asyncio.gather(*recording, return_exceptions=True)
        assert sum(isinstance(answer, list) for answer in answers) == 7
        assert sum(isinstance(answer, PolicyError) for answer in answers) == 13
        await worker.end()
        await other.end()


@pytest.mark.parametrize("seed", range(3))
async def test_promise_25_whatever_happens_at_once_no_day_spends_more_than_its_limit(stores: Open, seed: int) -> None:
    """Orders are posted, signed, filled, failed and cancelled by two processes, over a midnight."""
    rng = random.Random(seed)
    limit = 5
    policy = per_day(limit)
    spent = {DAY: 0, NEXT_DAY: 0}
    async with stores() as one, stores() as two:
        processes = (one, two)
        workers = [await store.begin("w", 60) for store in processes]
        owner = await add_key(one, policy)

        async def life(n: int) -> None:
            place = n % 2
            store = processes[place]
            day = DAY if n < 15 else NEXT_DAY
            try:
                claimed = await claimed_of(store, workers[place], owner, policy)
                await asyncio.sleep(rng.uniform(0, 0.01))
                if n % 5 == 4:
                    await store.cancel(claimed.order.id)
                    return
                if not await submit(store, claimed):
                    return
            except PolicyError:
                return
            # The first one in any case, so that something is spent on each day.
            filled = not spent[day] or rng.random() < 0.6
            if filled:
                spent[day] += OWN
            await end(store, claimed, OWN if filled else None)

        for day, numbers in ((DAY, range(15)), (NEXT_DAY, range(15, 30))):
            for store in processes:
                set_day(store, day)
            await asyncio.gather(*(life(n) for n in numbers))
            assert 0 < spent[day] <= limit * OWN
        for worker in workers:
            await worker.end()


async def test_promise_25_a_changed_order_is_within_the_limits_of_now_or_stays_as_it_was(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        policy = per_day(3)
        owner = await add_key(store, policy)
        resting = await post(store, owner, policy, replace(limit_order(), amount_base=OWN))
        await post(store, owner, policy)
        reported = len(announced)
        for amount, name in ((21_000_000, "maxPerDay"), (31_000_000, "maxPerDay")):
            with pytest.raises(PolicyError) as caught:
                await store.amend(resting, 2, resized(amount))
            assert caught.value.about["policy"] == name
        assert len(announced) == reported
        assert await store.versions([resting]) == {resting: 2}
        assert await store.amend(resting, 2, resized(20_000_000)) == 3
        with pytest.raises(PolicyError):
            await post(store, owner, policy, new_order(amount="0.000000001"))
        await set_policy(store, owner, limited(max_per_order={WSOL: OWN}))
        with pytest.raises(PolicyError):
            await store.amend(resting, 3, resized(OWN + 1))
        untouched = replace(resized(OWN + 1), trade=replace(trade_of(OWN + 1), most_in=None))
        assert await store.amend(resting, 3, untouched) == 4, "a change of something else is not about the amount"


def trade_of(amount: int) -> Trade:
    return Trade(mint_in=WSOL, mint_out=USDC, most_in=amount, slippage_bps=0, impact_ppm=0)


def resized(amount: int) -> Amendment:
    """The order with another amount."""
    return amending(amount_base=amount, resizes=True, trade=trade_of(amount))
