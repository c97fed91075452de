"""The known errors where a machine fails: workers that die, freeze and come back, nodes that lag, forget and die.

`test_known_holes.py` has those where the chain is misread, and describes what is counted.
"""

from functools import partial
from typing import Any

import pytest

from dexexec.domain.status import Status
from dexexec.failpoints import Failpoint
from tests.support.executed_once import CACHE, nothing, only_attempt
from tests.support.localnet.request_log import LoggedRequest
from tests.support.localnet.rpc_chains import wrong_answers
from tests.support.localnet.settlement_setup import EXPIRED, FINAL, UNLIMITED
from tests.support.localnet.worker_setup import OpenWorkers, WorkerSetup
from tests.support.parts import running
from tests.support.waiting import until

STEPS = [
    Failpoint.CLAIMED,
    Failpoint.CHOSEN,
    Failpoint.SIGNED,
    Failpoint.RECORDED,
    Failpoint.SENDING,
    Failpoint.SENT,
    Failpoint.PROVEN,
]


async def dies_at(b: WorkerSetup, where: Failpoint) -> None:
    """A worker takes up what is on the queue, comes to `where`, and is no more."""
    b.at.failpoints.stall = where
    b.at.failpoints.stalled.clear()
    async with b.working():
        await b.at.failpoints.stalled.wait()


# ---- workers that die, freeze and come back --------------------------------------------------------------------------


async def test_a_worker_that_was_down_longer_than_statuses_are_cached_does_not_swap_again(
    open_workers: OpenWorkers,
) -> None:
    """It looks only among the recent statuses, sees none for a transaction that landed, and sends another."""
    async with open_workers() as b:
        order_id = await b.post()
        await dies_at(b, Failpoint.SENT)
        [(signature, *_)] = await b.attempts()
        assert await b.at.swaps() == [], "not confirmed yet"
        await b.at.advance(CACHE + FINAL)
        recent = await b.at.net.rpc("getSignatureStatuses", [signature])
        assert recent["value"] == [None], "the cache has forgotten it"
        await b.again(order_id)
        async with b.working():
            await b.ended(order_id)
        await only_attempt(b, order_id)
        assert any(one.options["searchTransactionHistory"] for one in b.at.request_log.of("getSignatureStatuses"))


async def test_a_worker_that_was_down_longer_than_a_blockhash_lives_signs_again_only_with_proof(
    open_workers: OpenWorkers,
) -> None:
    """The same, where the swap did not land: it was recorded, and then nothing was sent."""
    async with open_workers() as b:
        order_id = await b.post()
        await dies_at(b, Failpoint.RECORDED)
        await b.at.advance(CACHE + FINAL)
        await b.again(order_id)
        async with b.working():
            await b.settled(order_id)
        view = await b.executed_once(order_id)
        first, second = view["attempts"]
        assert [first["outcome"], second["outcome"]] == ["expired", "landed"]
        assert first["proof"]["heightSeen"] > first["lastValidHeight"]
        assert first["proof"]["historySearched"]


@pytest.mark.parametrize("where", STEPS)
async def test_no_order_is_lost_or_doubled_by_a_restart_although_the_queue_forgets_everything(
    open_workers: OpenWorkers, where: Failpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted orders are stranded for ever, or run twice, when a worker dies and Redis loses its data."""
    monkeypatch.setattr("dexexec.execution.sweeper.GRACE_MS", 0)
    async with open_workers() as b:
        order_id = await b.post()
        await dies_at(b, where)
        await b.flush()
        async with running(b.sweeper().run()), b.working():
            listener = await b.settled(order_id)
        assert "failed" not in listener
        await only_attempt(b, order_id)


async def test_two_workers_with_the_same_attempt_in_hand_swap_once(open_workers: OpenWorkers) -> None:
    """A worker freezes just before it sends, its lease ends, another one resumes the attempt and settles it; then
    the first one wakes and sends, too. (Swapped twice, or reported as failed after it was confirmed.)"""
    async with open_workers() as b:
        failpoints = b.at.failpoints
        order_id = await b.post()
        failpoints.stall = Failpoint.SENDING
        frozen = b.worker(concurrency=1, heartbeat_seconds=3_600)
        async with running(frozen.run(), b.sweeper().run()):  # what it leases when it may not claim, the sweeper finds
            await failpoints.stalled.wait()
            assert b.at.request_log.sends == []
            await lapse(b)
            async with b.working():
                await b.again(order_id)
                await b.reached(order_id, Status.CONFIRMED)
                before = await b.events(order_id)
                assert len(b.at.request_log.sends) == 1
                failpoints.go_on.set()
                await until(lambda: len(b.at.request_log.sends) == 2, pause=0.005)
                await b.at.advance(FINAL)
                await b.ended(order_id)
        assert (await b.events(order_id))[: len(before)] == before
        await only_attempt(b, order_id)


async def lapse(b: WorkerSetup) -> None:
    """Time passes, and all leases end."""
    async with b.store._database.connection() as connection:
        await connection.execute("UPDATE workers SET lease_until = clock_timestamp() - interval '1 s'")


# ---- several nodes ---------------------------------------------------------------------------------------------------


def node(b: WorkerSetup, place: int) -> str:
    """What a proof calls a node; both are behind one address here."""
    return f"{b.at.net.url.removeprefix('http://')} ({place})"


@pytest.mark.parametrize(
    ("slots", "fault"),
    [(EXPIRED, {"lag": EXPIRED + 10}), (EXPIRED + 60, {"lag": 60, "forgets": "all"})],
    ids=["before-the-swap", "past-expiry-and-empty"],
)
async def test_what_a_lagging_node_does_not_have_is_not_believed(
    open_workers: OpenWorkers, slots: int, fault: dict[str, Any]
) -> None:
    """The good node has the swap only in its history, and does not answer when that is searched. Another one is
    searched and answers "none": but it is behind."""
    async with open_workers("", "/nodes/behind") as b:
        at = b.at

        async def lose_sight() -> None:
            await at.set_faults("/nodes/behind", **fault)
            await at.set_faults(forgets="recent")
            at.request_log.cut = lambda asked: asked.node == node(b, 1) and searched(asked)
            await at.advance(slots)

        async def find_again() -> None:
            claims = [one for one in at.request_log.requests if one.node == node(b, 2) and searched(one)]
            assert [one.answer["value"] for one in claims] == [[None]] * len(claims) != []
            assert (await b.view(order_id))["status"] == "submitted"
            at.request_log.cut = lambda _: False

        at.clock.meanwhile += [lose_sight, *[nothing] * 5, find_again]
        order_id = await b.post()
        async with b.working():
            await b.ended(order_id)
        await only_attempt(b, order_id)


def searched(asked: LoggedRequest) -> bool:
    """Whether it is a search of the whole history."""
    return asked.method == "getSignatureStatuses" and asked.options["searchTransactionHistory"]


async def test_a_node_without_a_history_is_no_proof_while_another_one_has_the_swap(open_workers: OpenWorkers) -> None:
    async with open_workers("/nodes/empty", "") as b:
        at = b.at

        async def forget() -> None:
            await at.set_faults("/nodes/empty", forgets="all")
            await at.advance(EXPIRED)

        at.clock.meanwhile.append(forget)
        order_id = await b.post()
        async with b.working():
            await b.ended(order_id)
        assert any(
            one.answer["value"] == [None]
            for one in at.request_log.of("getSignatureStatuses")
            if one.options["searchTransactionHistory"]
        )
        await only_attempt(b, order_id)


async def test_another_node_takes_over_in_the_middle_of_a_settlement(open_workers: OpenWorkers) -> None:
    """The preferred node dies after it took the swap."""
    async with open_workers("/nodes/first", "") as b:
        at = b.at
        at.clock.meanwhile.append(
            partial(at.set_faults, "/nodes/first", answers=wrong_answers("hangup", requests=UNLIMITED))
        )
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        await only_attempt(b, order_id)
        assert {one.node for one in at.request_log.of("getTransaction")} == {node(b, 2)}
        assert at.listener.kinds == ["failed"]


async def test_a_node_that_does_not_have_the_blockhash_yet_refuses_nothing(open_workers: OpenWorkers) -> None:
    """A node that is a little behind answers "blockhash not found" to the first send, which is taken for a refusal,
    and the swap is built anew. Here sends request no such check, and the node passes the bytes on."""
    async with open_workers() as b:
        at = b.at
        at.request_log.before["sendTransaction"] = partial(at.set_faults, lag=5)
        at.clock.meanwhile += [nothing, at.set_faults]
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        assert at.request_log.sends[0].answer == (await b.view(order_id))["txHash"]
        await only_attempt(b, order_id)
