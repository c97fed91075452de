"""What orders have spent of a day's limit: the same before and after they are archived, and gone with them."""

import pytest

from dexexec.operator_errors import PolicyError
from dexexec.store import Address
from tests.contract.test_store_policies import OWN, claimed_of, end, per_day, post, submit
from tests.integration.store.test_retention import open_archive_setup
from tests.support.aged_orders import open_retention
from tests.support.parts import new_order
from tests.support.policies import DAY, add_key, set_day


async def test_promise_25_an_archived_order_counts_with_what_its_swap_has_spent(database_address: Address) -> None:
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address, days=60) as longer,
        open_retention(database_address, days=30) as shorter,
    ):
        store, policy = setup.store, per_day(3)
        set_day(store, DAY)
        worker = await store.begin("w", 20)
        owner = await add_key(store, policy)
        filled, failed = [await claimed_of(store, worker, owner, policy) for _ in range(2)]
        for claimed in (filled, failed):
            assert await submit(store, claimed)
        await end(store, filled, OWN - 2_000_000)
        await end(store, failed, None)
        setup.age(40, filled.order.id, failed.order.id)
        await longer.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (0, 2)
        with pytest.raises(PolicyError):
            await post(store, owner, policy, new_order(amount="0.023"))
        last = await post(store, owner, policy, new_order(amount="0.022"))
        with pytest.raises(PolicyError):
            await post(store, owner, policy, new_order(amount="0.000000001"))
        await store.cancel(last)
        await shorter.round()
        assert setup.count("policy_spending") == 1, "only the one that has ended now"
        await worker.end()
