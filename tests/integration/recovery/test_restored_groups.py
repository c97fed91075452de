"""Groups and exits of a record that was restored from the chain: what came back holds its group as before."""

import pytest

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.bracket import ExitRole
from dexexec.domain.bracket_exits import exit_id
from dexexec.errors import GroupHeldError
from dexexec.store import Address
from tests.contract.test_store_brackets import entry, filled
from tests.contract.test_store_groups import claim_member, follow_all, member, status_of, submit
from tests.support.compared_records import comparison_setup


async def test_promise_22_an_order_whose_lost_swap_came_back_from_the_chain_holds_its_group(
    database_address: Address,
) -> None:
    """The record was promoted without the commit of its attempt."""
    async with comparison_setup(database_address) as at:
        worker = await at.store.begin("w", 20)
        first, second = [await claim_member(at.store, worker, member("pair")) for _ in range(2)]
        await at.moves_to_another_postgres()
        at.lands(AttemptId(first.order.id, 1))
        await at.permit()
        assert await status_of(at.store, first.order.id) == "confirmed"
        with pytest.raises(GroupHeldError) as caught:
            await submit(at.store, second)
        assert (caught.value.held.order_id, caught.value.held.filled) == (first.order.id, True)
        await follow_all(at.store)
        assert await status_of(at.store, second.order.id) == "cancelled"
        await worker.end()


async def test_promise_22_an_exit_that_came_back_from_the_chain_is_armed_no_second_time_and_cancels_the_other(
    database_address: Address,
) -> None:
    """The record was promoted without the commit that armed the bracket."""
    async with comparison_setup(database_address) as at:
        parent = await filled(at.store, entry())
        profit, stop = exit_id(parent, ExitRole.TAKE_PROFIT), exit_id(parent, ExitRole.STOP)
        await at.moves_to_another_postgres()
        at.lands(AttemptId(profit, 1))
        await at.permit()
        assert (await at.read(profit)).get("parentId") is None, "the chain does not show whose exit it is"
        [followed] = await follow_all(at.store)
        assert followed.armed == [stop]
        assert (await at.read(profit))["ocoGroup"] == f"bracket:{parent}"
        await follow_all(at.store)
        assert await status_of(at.store, stop) == "cancelled"
        found = await at.read(parent)
        assert {child["orderId"] for child in found["children"]} == {str(profit), str(stop)}


async def test_two_swaps_of_a_group_that_are_both_on_the_chain_are_reported_by_the_one_that_came_back(
    database_address: Address,
) -> None:
    """It cannot happen while nodes report the truth: nothing is signed before the comparison."""
    async with comparison_setup(database_address) as at:
        worker = await at.store.begin("w", 20)
        first, second = [await claim_member(at.store, worker, member("pair")) for _ in range(2)]
        await submit(at.store, second)
        await at.moves_to_another_postgres()
        async with at.database.connection() as connection:
            done = "UPDATE orders SET status = 'confirmed', finished_at = now(), finalized_at = now() WHERE id = %s"
            await connection.execute(done, (second.order.id,))
            await connection.execute("UPDATE attempts SET outcome = 'landed' WHERE order_id = %s", (second.order.id,))
        at.lands(AttemptId(first.order.id, 1))
        await at.permit()
        assert (await at.read(first.order.id))["events"][-1]["groupAlsoFilled"] == [str(second.order.id)]
        assert {str(followed.also_filled[0]) for followed in await follow_all(at.store)} == {
            str(first.order.id),
            str(second.order.id),
        }
        await worker.end()
