"""What a node may do wrong with its notifications: no order gets an old value for it, and memory is used again later.

Each test changes an account while the node misbehaves. From then on only two answers are right: the new value, or none
from memory, so that a node is read.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dexexec.domain.solana import Accounts
from dexexec.localnet.blocks import Consensus
from dexexec.venue import VenueError
from tests.support.localnet.rpc_chains import wrong_answers
from tests.support.localnet.warm_setup import CONFIRMED_AFTER, PAID, STALE_SLOTS, WarmSetup, warm_setup
from tests.support.waiting import until

SHORT_STALE = 8
"""Slots, where a test waits for them to pass."""


async def paid(setup: WarmSetup) -> tuple[int, int]:
    """The true lamports after a payment that is confirmed."""
    await setup.pay()
    for _ in range(CONFIRMED_AFTER):
        await setup.slot()
    return await setup.true()


async def never_old(setup: WarmSetup, slots: int) -> None:
    """Lets slots pass, in each of which an order gets the true values or has to read a node."""
    for _ in range(slots):
        await setup.slot()
        assert setup.lamports() in {None, await setup.true()}


async def cold(setup: WarmSetup) -> None:
    """Waits until nothing is answered from memory."""
    await until(lambda: setup.lamports() is None)


async def test_without_the_socket_a_node_is_read_until_there_is_one_again(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        for socket in setup.node.sockets:
            socket.close()
        await until(lambda: "interrupted" in setup.listener.kinds)
        assert setup.lamports() is None, "from the moment on in which the connection is lost"
        new = await paid(setup)
        assert await setup.read() == new
        await setup.warm()
        await until(lambda: "warm again" in setup.listener.kinds)
        assert setup.listener.kinds.count("interrupted") == 1


async def test_frozen_notifications_leave_nothing_warm_while_the_connection_stays(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        await setup.net.set_faults(notifications={"frozen": True})
        new = await paid(setup)
        # The age of the last Clock counts by this machine's clock, since no slot comes any more that could show it.
        setup.silence(STALE_SLOTS + 0.1)
        assert setup.lamports() is None
        assert await setup.read() == new
        await setup.net.set_faults()
        assert await setup.warm() == new


async def test_a_frozen_node_is_left_for_another_one(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        sockets = len(setup.node.sockets)
        await setup.net.set_faults(notifications={"frozen": True})
        setup.silence(300)
        await until(lambda: len(setup.node.sockets) > sockets)
        assert any(kind == "interrupted" and "no Clock" in why for kind, _, why, *_ in lines(setup))


async def test_a_node_that_answers_nothing_leaves_no_old_value(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        await setup.net.set_faults(answers=wrong_answers("503"), notifications={"frozen": True})
        setup.silence(STALE_SLOTS + 0.1)
        with pytest.raises(VenueError):
            await setup.read()


@pytest.mark.parametrize("moved", [-300, -1, 1, 3, 5_000])
async def test_notifications_with_false_slots_are_not_used(tmp_path: Path, moved: int) -> None:
    async with warm_setup(tmp_path) as setup:
        await setup.net.set_faults(lies={"notifiedSlot": moved})
        new = await paid(setup)
        await cold(setup)
        await never_old(setup, 10)
        assert setup.lamports() is None
        assert await setup.read() == new
        await setup.net.set_faults()
        assert await setup.warm() == new
        assert setup.watch.report().gaps > 0


async def test_reads_and_notifications_whose_slots_contradict_each_other_are_not_used(tmp_path: Path) -> None:
    async with warm_setup(tmp_path, stale_slots=SHORT_STALE) as setup:
        # The node's answers are of blocks far behind its own notifications: one of the two is false.
        await setup.net.set_faults(lies={"slot": -500})
        for _ in range(SHORT_STALE * 2):
            await setup.slot()
        await cold(setup)
        await setup.net.set_faults()
        await setup.warm()


async def test_delayed_notifications_are_not_used(tmp_path: Path) -> None:
    async with warm_setup(tmp_path, stale_slots=SHORT_STALE) as setup:
        await setup.net.set_faults(notifications={"delay": SHORT_STALE * 4})
        new = await paid(setup)
        await setup.net.advance(SHORT_STALE)
        setup.silence(SHORT_STALE + 0.1)
        assert setup.lamports() is None
        assert await setup.read() == new
        for _ in range(SHORT_STALE * 4):
            await setup.slot()
            # What comes now is of slots that are long past: it is not quoted as the present.
            assert setup.lamports() in {None, new}
        await setup.net.set_faults()
        assert await setup.warm() == new


@pytest.mark.parametrize("how", ["silent", "dropped"])
async def test_a_subscription_that_ends_without_a_sign_is_noticed_and_renewed(tmp_path: Path, how: str) -> None:
    async with warm_setup(tmp_path, stale_slots=SHORT_STALE) as setup:
        left = setup.addresses[0]
        if how == "silent":
            await setup.net.set_faults(notifications={"silent": [left]})
        else:
            assert await setup.net.rpc("localnet_dropSubscriptions", left) == 1
        await setup.pay()
        changed = setup.net.ledger.blocks.tip.slot
        old = setup.lamports()
        assert old is not None
        new = (old[0] - PAID, old[1] + PAID)
        async with asyncio.timeout(20):
            while (found := setup.lamports()) != new:
                # The left account may be old for a limited number of slots; the set is then not answered at all.
                slot = setup.watch.report().slot
                assert found is None or slot - changed <= SHORT_STALE
                if how == "silent" and setup.watch.report().gaps:
                    await setup.net.set_faults()
                await setup.slot()
        assert setup.watch.report().last_gap == f"a change of {left} was not notified"


async def test_replayed_values_with_new_slots_are_not_used(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        for _ in range(3):
            await paid(setup)
        new = await setup.warm()
        await setup.net.set_faults(notifications={"replay": True})
        await never_old(setup, 15)
        assert await setup.read() == new
        await setup.net.set_faults()
        assert await setup.warm() == new


async def test_a_fork_that_takes_a_payment_back_is_followed(tmp_path: Path) -> None:
    async with warm_setup(tmp_path, consensus=Consensus.TOWER) as setup:
        before = await setup.warm()
        assert await paid(setup) == (before[0] - PAID, before[1] + PAID)
        await setup.warm()
        await setup.net.rpc("localnet_fork", 8)
        await never_old(setup, 15)
        assert await setup.warm() == before


async def test_a_lagging_node_does_not_bring_old_values_back(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        new = await paid(setup)
        await setup.warm()
        await setup.net.set_faults(lag=200)
        for _ in range(10):
            await setup.slot()
            assert setup.lamports() in {None, new}
        await setup.net.set_faults()
        assert await setup.warm() == new


async def test_refused_subscriptions_leave_accounts_cold_and_are_reported_once(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        forward = setup.node.on_message
        assert forward is not None

        def refuse(socket: Any, call: Any) -> None:
            if call["method"] == "accountSubscribe":
                error = {"code": -32603, "message": "too many subscriptions"}
                socket.write_message({"jsonrpc": "2.0", "id": call["id"], "error": error})
            else:
                forward(socket, call)

        setup.node.on_message = refuse
        others = [str((await setup.net.funded()).pubkey()) for _ in range(3)]
        await setup.slot()
        await setup.watch.accounts(others)
        await until(lambda: "refused" in setup.listener.kinds)
        await never_old(setup, 5)
        assert setup.lamports() is not None, "what is subscribed stays warm"
        assert setup.watch.snapshot(others) is None
        found = await setup.watch.accounts(others)
        assert isinstance(found, Accounts)
        assert setup.listener.kinds.count("refused") == 1
        assert setup.watch.report().refused == "too many subscriptions (-32603)"


def lines(setup: WarmSetup) -> list[tuple[str, ...]]:
    """What was reported, each with at least three parts."""
    return [line if len(line) > 2 else (*line, "") for line in setup.listener.lines]
