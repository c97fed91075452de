"""Where engines of this kind are known to go wrong, each built on a real chain: an order executes once all the same.

What is counted is on chain (`executed_once`): the wallet's swaps there, and the signatures of the order's attempts.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dexexec.clock import Failpoint
from dexexec.domain.order import Side
from dexexec.domain.status import Status
from dexexec.store import Address
from tests.conftest import Servers
from tests.integration.localnet_bench import LONG_MS, Bench, OpenBench, bench
from tests.integration.localnet_ground import EXPIRED, FINAL, Asked, message_of
from tests.integration.rpc_nodes import patience, wrong
from tests.integration.test_ten_rules import EVER, payload_of
from tests.parts import new_order, running
from tests.waiting import until

CACHE = 300
"""Slots for which a node finds a status without searching its history."""
STEPS = [
    Failpoint.CLAIMED,
    Failpoint.CHOSEN,
    Failpoint.SIGNED,
    Failpoint.RECORDED,
    Failpoint.SENDING,
    Failpoint.SENT,
    Failpoint.PROVEN,
]
LOOKS = ("getSignatureStatuses", "getEpochInfo", "getTransaction")


@pytest.fixture
def open_bench(tmp_path: Path, database_address: Address, servers: Servers, redis_prefix: str) -> OpenBench:
    return partial(bench, tmp_path, database_address, servers.redis_url, redis_prefix)


async def dies_at(b: Bench, where: Failpoint) -> None:
    """A worker takes up what is on the queue, comes to `where`, and is no more."""
    b.at.clock.stall = where
    b.at.clock.stalled.clear()
    async with b.working():
        await b.at.clock.stalled.wait()


async def only_attempt(b: Bench, order_id: Any) -> Any:
    """The order was executed once, with its first and only signature."""
    view = await b.executed_once(order_id)
    assert (view["attemptCount"], len(view["attempts"])) == (1, 1)
    assert {payload_of(sent) for sent in b.at.wires.sends} == {(await b.attempts())[0][1]}
    return view


# ---- what an answer, or none, is taken for ---------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["hang", "hangup", "503"])
async def test_a_swap_whose_answer_was_lost_is_not_swapped_twice(open_bench: OpenBench, answer: str) -> None:
    """An answer that times out is handled as a failure, and the swap runs again."""
    async with open_bench(patience=patience(answer)) as b:
        order_id = await b.post()
        await b.at.faults(answers=wrong(answer, "sendTransaction", requests=1, execute=True))
        async with b.working():
            told = await b.settled(order_id)
        assert told == ["pending", "routing", "building", "submitted", "confirmed", "confirmed"]
        await only_attempt(b, order_id)


@pytest.mark.parametrize("answer", ["429", "503", "-32005", "garbage", "hangup"])
async def test_a_node_that_only_answers_errors_does_not_make_a_landed_swap_expire(
    open_bench: OpenBench, answer: str
) -> None:
    """Any error of a node is read as "not on chain", and then the expired blockhash leads to a second swap."""
    async with open_bench() as b:
        at = b.at
        at.clock.meanwhile.append(partial(at.faults, answers=wrong(answer, *LOOKS, requests=EVER)))
        at.clock.meanwhile.append(partial(at.advance, EXPIRED + CACHE))
        at.clock.meanwhile += [nothing] * 5
        at.clock.meanwhile.append(partial(at.faults, forgets="recent"))
        order_id = await b.post()
        async with b.working():
            await b.ended(order_id)
        wrongly = [one for one in at.wires.of(*LOOKS) if not isinstance(one.answer, dict) or "code" in one.answer]
        assert len(wrongly) >= (1 if answer == "429" else 6), "a node that was asked too often is left alone"
        await only_attempt(b, order_id)


async def nothing() -> None:
    """A pause in which nothing happens."""


async def test_looking_and_not_finding_it_many_times_is_not_dropped(open_bench: OpenBench) -> None:
    """Three looks that find nothing are taken for "dropped", and the swap is executed again, while the first one is
    still on its way."""
    async with open_bench() as b:
        await b.at.faults(late={"transactions": EVER, "slots": 120})
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        missed = [one for one in b.at.wires.of("getSignatureStatuses") if one.answer["value"] == [None]]
        assert len(missed) > 100
        view = await only_attempt(b, order_id)
        assert view["attempts"][0]["proof"]["slot"] <= view["attempts"][0]["lastValidHeight"]


async def test_a_swap_that_lands_after_its_orders_deadline_is_no_expired_order(open_bench: OpenBench) -> None:
    """The deadline passes while a swap is on its way, the order is told to be expired, and then the swap lands."""
    async with open_bench() as b:
        await b.at.faults(late={"transactions": EVER, "slots": 120})
        order_id = await b.post(new_order(deadline_ms=20_000))
        begun = b.at.clock.monotonic()
        async with b.working():
            told = await b.settled(order_id)
        assert b.at.clock.monotonic() - begun > 40, "seconds: well past the deadline"
        assert "expired" not in told
        await only_attempt(b, order_id)


async def test_an_error_on_chain_is_told_as_one_with_its_proof_and_the_order_goes_on(open_bench: OpenBench) -> None:
    """A swap that failed on chain is reported as pending for ever, or as one that may be tried again at no cost; and
    `failed` is told before an order is confirmed."""
    async with open_bench() as b:
        b.at.wires.before["sendTransaction"] = b.at.burn_dollars
        order_id = await b.post(new_order(side=Side.SELL, amount="2", deadline_ms=LONG_MS))
        async with b.working():
            told = await b.settled(order_id)
        assert "failed" not in told
        view = await b.executed_once(order_id)
        failed, landed = view["attempts"]
        assert [failed["outcome"], landed["outcome"]] == ["failed", "landed"]
        [status] = await b.at.statuses([failed["txHash"]])
        assert failed["proof"]["slot"] == status["slot"]
        assert failed["proof"]["code"] == "program-error"
        assert "custom program error: 0x1" in failed["proof"]["detail"]
        assert failed["proof"]["fee"] == "10000"
        assert view["feesPaid"] == "20000", "of both"
        assert await b.at.swaps(failed=True) == [failed["txHash"]]
        [event] = [one for one in view["events"] if one.get("outcome") == "failed"]
        assert (event["status"], event["reason"], event["proof"]) == ("routing", "program-error", failed["proof"])


async def test_a_failure_carries_its_proof(open_bench: OpenBench) -> None:
    """ "Why did it not fill?": no reason is given, and nobody can check."""
    async with open_bench() as b:
        at = b.at
        await at.faults(drop=EVER)
        at.clock.meanwhile += [partial(at.advance, EXPIRED)] * 2
        order_id = await b.post()
        async with b.working(tries=2):
            assert (await b.ended(order_id))[-1] == "failed"
        view = await b.view(order_id)
        first, last = view["attempts"]
        assert (view["status"], view["failureReason"], view["fill"]) == ("failed", "attempt-expired", None)
        assert [first["outcome"], last["outcome"]] == ["expired", "expired"]
        for attempt, signatures in ((first, [first]), (last, [last, first])):
            proof = attempt["proof"]
            assert proof == {
                "signatures": [one["txHash"] for one in signatures],
                "lastValidHeight": attempt["lastValidHeight"],
                "heightSeen": proof["heightSeen"],
                "historySearched": True,
                "node": at.net.url.removeprefix("http://"),
                "sends": 1,
            }
            assert proof["heightSeen"] > attempt["lastValidHeight"]
        assert view["events"][-1]["proof"] == last["proof"]
        assert last["proof"]["heightSeen"] <= at.net.ledger.blocks.tip.height - FINAL
        assert await at.statuses([first["txHash"], last["txHash"]]) == [None, None]
        assert (await at.swaps(), await at.swaps(failed=True)) == ([], [])


async def test_a_last_valid_height_belongs_to_the_blockhash_that_was_signed(open_bench: OpenBench) -> None:
    """The height is asked for after signing, with another, newer blockhash: too late is then taken for in time. Here
    blocks come while the swap is built, between the blockhash and the signature."""
    async with open_bench() as b:
        at = b.at
        at.wires.before["simulateTransaction"] = partial(at.advance, 20)
        await at.faults(drop=EVER)
        order_id = await b.post()
        async with b.working(tries=1):
            await b.ended(order_id)
        [(_, payload, height)] = await b.attempts()
        [given] = [one.answer["value"] for one in at.wires.of("getLatestBlockhash")]
        assert message_of(payload).blockhash == given["blockhash"]
        view = await b.view(order_id)
        [attempt] = view["attempts"]
        assert given["lastValidBlockHeight"] == height == attempt["lastValidHeight"]
        assert attempt["proof"]["heightSeen"] == height + 1, "and it counts: one block past it is the end"


async def test_swaps_of_unknown_outcome_do_not_trip_a_venues_breaker(open_bench: OpenBench) -> None:
    """A breaker counts sends without an answer as failures of the venue, marks their orders as failed, and keeps the
    next ones from it."""
    async with open_bench() as b:
        at = b.at
        await at.faults(answers=wrong("503", "sendTransaction", requests=4))
        async with b.working(breaker_failures=1):
            first = await b.post()
            await b.settled(first)
            await only_attempt(b, first)
            assert [one.answer for one in at.wires.sends[:4]] == [None] * 4
            next_one = await b.post()
            assert await b.settled(next_one) == [
                "pending",
                "routing",
                "building",
                "submitted",
                "confirmed",
                "confirmed",
            ]
        assert len(await at.swaps()) == 2


# ---- workers that die, freeze and come back --------------------------------------------------------------------------


async def test_a_worker_that_was_down_longer_than_statuses_are_cached_does_not_swap_again(
    open_bench: OpenBench,
) -> None:
    """It looks only among the recent statuses, sees none for a transaction that landed, and sends another."""
    async with open_bench() as b:
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
        assert any(one.options["searchTransactionHistory"] for one in b.at.wires.of("getSignatureStatuses"))


async def test_a_worker_that_was_down_longer_than_a_blockhash_lives_signs_again_only_with_proof(
    open_bench: OpenBench,
) -> None:
    """The same, where the swap did not land: it was recorded, and then nothing was sent."""
    async with open_bench() as b:
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
    open_bench: OpenBench, where: Failpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted orders are stranded for ever, or run twice, when a worker dies and Redis loses its data."""
    monkeypatch.setattr("dexexec.sweeper.GRACE_MS", 0)
    async with open_bench() as b:
        order_id = await b.post()
        await dies_at(b, where)
        await b.flush()
        async with running(b.sweeper().run()), b.working():
            told = await b.settled(order_id)
        assert "failed" not in told
        await only_attempt(b, order_id)


async def test_two_workers_with_the_same_attempt_in_hand_swap_once(open_bench: OpenBench) -> None:
    """A worker freezes just before it sends, its lease runs out, another one resumes the attempt and settles it; then
    the first one wakes and sends, too. (Swapped twice, or told to be failed after it was confirmed.)"""
    async with open_bench() as b:
        clock = b.at.clock
        order_id = await b.post()
        clock.stall = Failpoint.SENDING
        async with running(b.worker(concurrency=1, lease_seconds=0.3, heartbeat_seconds=60).run()):
            await clock.stalled.wait()
            assert b.at.wires.sends == []
            await until(lambda: lapsed(b), pause=0.02)
            async with b.working():
                await b.again(order_id)
                await b.reached(order_id, Status.CONFIRMED)
                before = await b.events(order_id)
                assert len(b.at.wires.sends) == 1
                clock.go_on.set()
                await until(lambda: len(b.at.wires.sends) == 2, pause=0.005)
                await b.at.advance(FINAL)
                await b.ended(order_id)
        assert (await b.events(order_id))[: len(before)] == before
        await only_attempt(b, order_id)


async def lapsed(b: Bench) -> bool:
    """Whether no worker's lease lives."""
    return not await b.store.worker_seen()


# ---- forks -----------------------------------------------------------------------------------------------------------


async def test_a_confirmed_swap_that_a_fork_takes_back_is_told_and_lands_again_as_the_same_bytes(
    open_bench: OpenBench,
) -> None:
    """What was confirmed once is taken for done: the fill is gone and nobody hears of it, or it is bought anew."""
    async with open_bench() as b:
        order_id = await b.post()
        async with b.working():
            await b.reached(order_id, Status.CONFIRMED)
            first_slot = (await b.view(order_id))["fill"]["slot"]
            await b.at.fork(3)
            await b.reached(order_id, Status.CONFIRMED, Status.SUBMITTED, Status.CONFIRMED)
            await b.at.advance(FINAL)
            told = await b.ended(order_id)
        assert told[3:] == ["submitted", "confirmed", "submitted", "confirmed", "confirmed"]
        view = await only_attempt(b, order_id)
        undone = view["events"][5]
        assert (undone["reason"], undone["txHash"]) == ("un-confirmed", view["txHash"])
        assert undone["proof"]["slotSeen"] > first_slot
        assert view["fill"]["slot"] > first_slot, "where it is now"
        assert len(b.at.wires.sends) == 2


async def test_a_confirmed_swap_whose_blockhash_is_on_the_abandoned_fork_expires_and_is_made_anew(
    open_bench: OpenBench,
) -> None:
    """The same bytes can never land again, and that is proven before others are signed."""
    async with open_bench() as b:
        at = b.at
        order_id = await b.post()
        async with b.working():
            await b.reached(order_id, Status.CONFIRMED)
            at.clock.meanwhile.append(partial(at.advance, EXPIRED))
            await at.fork(10)
            again = [Status.CONFIRMED, Status.SUBMITTED, Status.ROUTING, Status.SUBMITTED, Status.CONFIRMED]
            await b.reached(order_id, *again)
            await at.advance(FINAL)
            await b.ended(order_id)
        view = await b.executed_once(order_id)
        gone, landed = view["attempts"]
        assert (gone["outcome"], landed["outcome"]) == ("expired", "landed")
        assert gone["proof"]["heightSeen"] > gone["lastValidHeight"]
        assert await at.statuses([gone["txHash"]]) == [None]
        assert view["txHash"] == landed["txHash"]


# ---- several nodes ---------------------------------------------------------------------------------------------------


def node(b: Bench, place: int) -> str:
    """What a proof calls a node; both are behind one address here."""
    return f"{b.at.net.url.removeprefix('http://')} ({place})"


@pytest.mark.parametrize(
    ("slots", "fault"),
    [(EXPIRED, {"lag": EXPIRED + 10}), (EXPIRED + 60, {"lag": 60, "forgets": "all"})],
    ids=["before-the-swap", "past-expiry-and-empty"],
)
async def test_what_a_lagging_node_does_not_know_is_not_believed(
    open_bench: OpenBench, slots: int, fault: dict[str, Any]
) -> None:
    """The good node has the swap in its history alone, and does not answer when that is searched. Another one is
    searched and says "none": but it is behind."""
    async with open_bench("", "/nodes/behind") as b:
        at = b.at

        async def lose_sight() -> None:
            await at.faults("/nodes/behind", **fault)
            await at.faults(forgets="recent")
            at.wires.cut = lambda asked: asked.node == node(b, 1) and searched(asked)
            await at.advance(slots)

        async def find_again() -> None:
            claims = [one for one in at.wires.asked if one.node == node(b, 2) and searched(one)]
            assert [one.answer["value"] for one in claims] == [[None]] * len(claims) != []
            assert (await b.view(order_id))["status"] == "submitted"
            at.wires.cut = lambda _: False

        at.clock.meanwhile += [lose_sight, *[nothing] * 5, find_again]
        order_id = await b.post()
        async with b.working():
            await b.ended(order_id)
        await only_attempt(b, order_id)


def searched(asked: Asked) -> bool:
    """Whether it is a search of the whole history."""
    return asked.method == "getSignatureStatuses" and asked.options["searchTransactionHistory"]


async def test_a_node_without_a_history_is_no_proof_while_another_one_knows(open_bench: OpenBench) -> None:
    async with open_bench("/nodes/empty", "") as b:
        at = b.at

        async def forget() -> None:
            await at.faults("/nodes/empty", forgets="all")
            await at.advance(EXPIRED)

        at.clock.meanwhile.append(forget)
        order_id = await b.post()
        async with b.working():
            await b.ended(order_id)
        assert any(
            one.answer["value"] == [None]
            for one in at.wires.of("getSignatureStatuses")
            if one.options["searchTransactionHistory"]
        )
        await only_attempt(b, order_id)


async def test_another_node_takes_over_in_the_middle_of_a_settlement(open_bench: OpenBench) -> None:
    """The only node that was asked dies after it took the swap."""
    async with open_bench("/nodes/first", "") as b:
        at = b.at
        at.clock.meanwhile.append(partial(at.faults, "/nodes/first", answers=wrong("hangup", requests=EVER)))
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        await only_attempt(b, order_id)
        assert {one.node for one in at.wires.sends} == {node(b, 1)}
        assert {one.node for one in at.wires.of("getTransaction")} == {node(b, 2)}
        assert at.told.kinds == ["failed"]


async def test_a_node_that_does_not_know_the_blockhash_yet_refuses_nothing(open_bench: OpenBench) -> None:
    """A node that is a little behind answers "blockhash not found" to the first send, which is taken for a refusal,
    and the swap is built anew; but another node may have it."""
    async with open_bench() as b:
        at = b.at
        at.wires.before["sendTransaction"] = partial(at.faults, lag=5)
        at.clock.meanwhile += [nothing, at.faults]
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        first = at.wires.sends[0]
        assert first.answer["data"]["err"] == "BlockhashNotFound"
        await only_attempt(b, order_id)
