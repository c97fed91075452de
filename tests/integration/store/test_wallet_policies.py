"""Limits of a wallet: they hold for the orders of all keys together, and beside the limits of each key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import Trade
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.domain.wallet_policy import WalletPolicies
from dexexec.intake.amending import Amending
from dexexec.intake.order_body import BodyReader
from dexexec.operator_errors import PolicyError
from dexexec.store import Address, Claimed, Store, WorkerSession
from tests.support.limit_orders import limit_order
from tests.support.parts import new_order, open_database, running
from tests.support.policies import DAY, NEXT_DAY, add_key, set_day
from tests.support.prepared_orders import ROUTED, attempt, claimed_by, step

OWN = 10_000_000
"""What `new_order` spends: 0.01 SOL."""


@asynccontextmanager
async def store_with(address: Address, **limits: Any) -> AsyncIterator[Store]:
    """A store in which the wallet `desk-2` has limits."""
    wallets = WalletPolicies({"desk-2": Policy(**limits)})
    async with open_database(address) as database:
        store = Store(database, lambda _: None, SystemClock(), wallets=wallets)
        set_day(store, DAY)
        async with running(store.run()):
            yield store


@asynccontextmanager
async def worker_of(store: Store) -> AsyncIterator[WorkerSession]:
    worker = await store.begin("w", 20)
    try:
        yield worker
    finally:
        await worker.end()


async def post(store: Store, owner: int | None = None, policy: Policy = NO_LIMITS, **changes: Any) -> UUID:
    """An order that desk-2 pays for."""
    order: NewOrder = replace(new_order(), **{"owner": owner, "wallet": "desk-2"} | changes)
    return (await store.create(order, policy=policy)).order_id


async def submit(store: Store, claimed: Claimed, **changes: Any) -> list[Event] | None:
    """Record an attempt."""
    wallet = claimed.order.wallet or "default"
    trade = Trade(mint_in=WSOL, mint_out=USDC, most_in=OWN, slippage_bps=50, impact_ppm=0, wallet=wallet)
    new = replace(attempt(1, str(claimed.order.id)), trade=replace(trade, **changes))
    events = (*ROUTED, (Status.SUBMITTED, {}))
    owner = claimed.order.owner
    return await store.advance(step(claimed, claimed.order.version, *events, venue="here", attempt=new, owner=owner))


async def test_promise_25_the_orders_of_all_keys_count_for_their_wallet(database_address: Address) -> None:
    async with store_with(database_address, max_per_day={WSOL: 3 * OWN}) as store:
        rich = Policy(max_per_day={WSOL: 100 * OWN})
        one, other = await add_key(store, rich, "one"), await add_key(store, rich, "other")
        posts = [post(store, owner, rich) for owner in (one, other) for _ in range(20)]
        results = await asyncio.gather(*posts, return_exceptions=True)
        refused = [each for each in results if isinstance(each, BaseException)]
        assert len(results) - len(refused) == 3
        assert all(isinstance(each, PolicyError) for each in refused)
        assert "over the wallet's policy: maxPerDay" in str(refused[0])
        await post(store, one, rich, wallet=None)
        set_day(store, NEXT_DAY)
        await post(store, other, rich)


async def test_promise_25_what_a_wallet_refuses_takes_nothing_of_the_keys_limit(database_address: Address) -> None:
    async with store_with(database_address, max_per_day={WSOL: OWN}) as store:
        policy = Policy(max_per_day={WSOL: 2 * OWN})
        owner = await add_key(store, policy)
        await post(store, owner, policy)
        with pytest.raises(PolicyError, match="the wallet's policy"):
            await post(store, owner, policy)
        await post(store, owner, policy, wallet=None)
        with pytest.raises(PolicyError, match="the key's policy"):
            await post(store, owner, policy, wallet=None)


async def test_promise_25_an_attempt_is_checked_against_its_wallet_again(database_address: Address) -> None:
    limits: dict[str, Any] = {"max_per_order": {WSOL: OWN}, "mints": frozenset({WSOL, USDC})}
    async with store_with(database_address, **limits) as store, worker_of(store) as worker:
        with pytest.raises(PolicyError, match="maxPerOrder"):
            await post(store, amount_base=OWN + 1)
        claimed = await claimed_by(store, worker, await post(store))
        with pytest.raises(PolicyError, match="over the wallet's policy: maxPerOrder"):
            await submit(store, claimed, most_in=OWN + 1)
        with pytest.raises(PolicyError, match="over the wallet's policy: mints"):
            await submit(store, claimed, mint_out="another")
        assert await submit(store, claimed), "also without a key"
        free = await claimed_by(store, worker, await post(store, wallet=None))
        assert await submit(store, free, most_in=5 * OWN), "the default wallet has no limits here"


async def test_promise_25_attempts_at_once_do_not_overspend_a_wallets_day(database_address: Address) -> None:
    """Orders for a share of a balance have no amount when they are accepted, so only the attempts are counted."""
    async with store_with(database_address, max_per_day={WSOL: 3 * OWN}) as store, worker_of(store) as worker:
        set_day(store, NEXT_DAY)
        claims = [await claimed_by(store, worker, await post(store, wallet=None)) for _ in range(10)]
        paid = [replace(each, order=replace(each.order, wallet="desk-2")) for each in claims]
        results = await asyncio.gather(*(submit(store, each) for each in paid), return_exceptions=True)
        assert sum(isinstance(each, list) for each in results) == 3
        assert sum(isinstance(each, PolicyError) for each in results) == 7


async def test_promise_25_a_change_of_an_order_is_checked_against_its_wallet_too(database_address: Address) -> None:
    async with store_with(database_address, max_per_order={WSOL: 2 * OWN}, max_per_day={WSOL: 3 * OWN}) as store:
        amending = Amending(store, BodyReader(Settings(_env_file=None)))
        order = replace(limit_order(), amount_base=OWN, wallet="desk-2")
        order_id = (await store.create(order)).order_id
        await amending.amend(order_id, b'{"amount": "0.02"}', None)
        with pytest.raises(PolicyError, match=r"the wallet's policy.*maxPerOrder"):
            await amending.amend(order_id, b'{"amount": "0.03"}', None)
        await post(store)
        with pytest.raises(PolicyError, match=r"the wallet's policy.*maxPerDay"):
            await post(store)
