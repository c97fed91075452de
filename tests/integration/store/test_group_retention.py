"""Orders of groups and entries with exits in the archive: they come there when nothing needs them any more."""

import pytest

from dexexec.errors import GroupHeldError
from dexexec.store import Address
from tests.contract.test_store_brackets import entry, filled
from tests.contract.test_store_groups import claim_member, finish, follow_all, limit_member, member, status_of, submit
from tests.integration.store.test_retention import open_archive_setup
from tests.support.aged_orders import open_retention


async def test_an_order_of_a_group_stays_until_it_is_followed_up_and_the_last_one_has_ended(
    database_address: Address,
) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        store = setup.store
        first = (await store.create(member("pair"))).order_id
        second = (await store.create(limit_member("pair"))).order_id
        await store.cancel(first)
        setup.age(1, first)
        await retention.round()
        assert setup.count("archived_orders") == 0, "its end was not followed up"
        await follow_all(store)
        await retention.round()
        assert setup.count("archived_orders") == 0, "another order of the group has not ended"
        await store.cancel(second)
        await follow_all(store)
        setup.age(1, second)
        await retention.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (0, 2)


async def test_a_group_stays_filled_as_long_as_the_order_that_filled_it_is_kept(database_address: Address) -> None:
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address, days=60) as longer,
        open_retention(database_address, days=30) as shorter,
    ):
        store = setup.store
        worker = await store.begin("w", 20)
        first = await claim_member(store, worker, member("pair"))
        await submit(store, first)
        await finish(store, first)
        await follow_all(store)
        setup.age(40, first.order.id)
        await longer.round()
        assert setup.count("archived_orders") == 1
        late = await claim_member(store, worker, member("pair"))
        with pytest.raises(GroupHeldError):
            await submit(store, late)
        _, cancelled = await store.join_groups(10)
        assert cancelled == [late.order.id]
        await shorter.round()
        assert (await store.order(first.order.id), setup.count("oco_groups")) == (None, 0)
        fresh = await claim_member(store, worker, member("pair"))
        assert await submit(store, fresh), "the name is free"
        await worker.end()


async def test_an_entry_is_archived_after_its_exits_were_armed_and_shows_those_that_are_archived_too(
    database_address: Address,
) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address) as retention:
        parent = await filled(setup.store, entry())
        setup.age(1, parent)
        await retention.round()
        assert setup.count("archived_orders") == 0
        [followed] = await follow_all(setup.store)
        for leg in followed.armed:
            await setup.store.cancel(leg)
        await follow_all(setup.store)
        setup.age(1, *followed.armed)
        await retention.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (0, 3)
        view = await setup.store.order(parent)
        assert view is not None
        children = view["children"]
        assert isinstance(children, list)
        assert {child["orderId"] for child in children} == set(map(str, followed.armed))
        assert await follow_all(setup.store) == []
        assert await status_of(setup.store, followed.armed[0]) == "cancelled"
