"""Where engines of this kind are known to go wrong, each built on a real chain: an order executes once all the same.

What is counted is on chain (`executed_once`): the wallet's swaps there, and the signatures of the order's attempts.
Here the chain is misread; in `test_known_holes_outages.py` a machine fails.
"""

from functools import partial

import pytest

from dexexec.domain.order import Side
from dexexec.domain.status import Status
from dexexec.localnet.blocks import Consensus
from tests.support.executed_once import CACHE, nothing, only_attempt
from tests.support.localnet.rpc_chains import timeouts_for, wrong_answers
from tests.support.localnet.settlement_setup import EXPIRED, FINAL, UNLIMITED
from tests.support.localnet.worker_setup import LONG_MS, OpenWorkers
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order
from tests.support.swap_transactions import message_of

LOOKS = ("getSignatureStatuses", "getEpochInfo", "getTransaction")


# ---- what an answer, or none, is taken for ---------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["hang", "hangup", "503", "-32002", "-32003", "-32602", "another", "garbage"])
async def test_a_swap_whose_answer_was_lost_or_wrong_is_not_swapped_twice(
    open_workers: OpenWorkers, answer: str
) -> None:
    """An answer that times out is handled as a failure, or a front passes the bytes on and refuses them; and the swap
    runs again."""
    async with open_workers(timeouts=timeouts_for(answer)) as b:
        order_id = await b.post()
        await b.at.set_faults(answers=wrong_answers(answer, "sendTransaction", requests=1, execute=True))
        async with b.working():
            reported = await b.settled(order_id)
        assert reported == ["pending", "routing", "building", "submitted", *b.confirmations]
        await only_attempt(b, order_id)


@pytest.mark.parametrize("answer", ["429", "503", "-32005", "garbage", "hangup"])
async def test_a_node_that_only_answers_errors_does_not_make_a_landed_swap_expire(
    open_workers: OpenWorkers, answer: str
) -> None:
    """Any error of a node is read as "not on chain", and then the expired blockhash leads to a second swap."""
    async with open_workers() as b:
        at = b.at
        at.clock.meanwhile.append(partial(at.set_faults, answers=wrong_answers(answer, *LOOKS, requests=UNLIMITED)))
        at.clock.meanwhile.append(partial(at.advance, EXPIRED + CACHE))
        at.clock.meanwhile += [nothing] * 5
        at.clock.meanwhile.append(partial(at.set_faults, forgets="recent"))
        order_id = await b.post()
        async with b.working():
            await b.ended(order_id)
        wrongly = [one for one in at.request_log.of(*LOOKS) if not isinstance(one.answer, dict) or "code" in one.answer]
        assert len(wrongly) >= (1 if answer == "429" else 6), "a node that was asked too often is left alone"
        await only_attempt(b, order_id)


async def test_looking_and_not_finding_it_many_times_is_not_dropped(open_workers: OpenWorkers) -> None:
    """Three looks that find nothing are taken for "dropped", and the swap is executed again, while the first one is
    still on its way."""
    async with open_workers() as b:
        await b.at.set_faults(late={"transactions": UNLIMITED, "slots": 120})
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        missed = [one for one in b.at.request_log.of("getSignatureStatuses") if one.answer["value"] == [None]]
        assert len(missed) > 50
        view = await only_attempt(b, order_id)
        assert view["attempts"][0]["proof"]["slot"] <= view["attempts"][0]["lastValidHeight"]


async def test_a_swap_that_lands_after_its_orders_deadline_is_no_expired_order(open_workers: OpenWorkers) -> None:
    """The deadline passes while a swap may still land, the order is reported as expired, and then the swap lands."""
    async with open_workers() as b:
        await b.at.set_faults(late={"transactions": UNLIMITED, "slots": 120})
        order_id = await b.post(new_order(deadline_ms=20_000))
        begun = b.at.clock.monotonic()
        async with b.working():
            reported = await b.settled(order_id)
        assert b.at.clock.monotonic() - begun > 20, "seconds: past the deadline"
        assert "expired" not in reported
        await only_attempt(b, order_id)


async def test_an_error_on_chain_is_reported_with_its_proof_and_the_order_goes_on(open_workers: OpenWorkers) -> None:
    """A swap that failed on chain is reported as pending for ever, or as one that may be tried again at no cost; and
    `failed` is reported before an order is confirmed."""
    async with open_workers() as b:
        b.at.request_log.before["sendTransaction"] = b.at.burn_dollars
        order_id = await b.post(new_order(side=Side.SELL, amount="2", deadline_ms=LONG_MS))
        async with b.working():
            reported = await b.settled(order_id)
        assert "failed" not in reported
        view = await b.executed_once(order_id)
        failed, landed = view["attempts"]
        assert [failed["outcome"], landed["outcome"]] == ["failed", "landed"]
        [status] = await b.at.statuses([failed["txHash"]])
        assert failed["proof"]["slot"] == status["slot"]
        assert failed["proof"]["code"] == "insufficient-funds"
        assert "custom program error: 0x1" in failed["proof"]["detail"]
        assert failed["proof"]["fee"] == "10000"
        assert view["feesPaid"] == "20000", "of both"
        assert await b.at.swaps(failed=True) == [failed["txHash"]]
        [event] = [one for one in view["events"] if one.get("outcome") == "failed"]
        assert (event["status"], event["reason"], event["proof"]) == ("routing", "insufficient-funds", failed["proof"])


async def test_a_failure_carries_its_proof(open_workers: OpenWorkers) -> None:
    """An order is not filled: no reason is given, and its client cannot check why."""
    async with open_workers() as b:
        at = b.at
        await at.set_faults(drop=UNLIMITED)
        at.clock.meanwhile += [partial(at.advance, EXPIRED)] * 2
        order_id = await b.post()
        async with b.working(tries=2):
            assert (await b.ended(order_id))[-1].status is Status.FAILED
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
        assert last["proof"]["heightSeen"] <= at.net.ledger.blocks.tip.height - at.final
        assert await at.statuses([first["txHash"], last["txHash"]]) == [None, None]
        assert (await at.swaps(), await at.swaps(failed=True)) == ([], [])


async def test_a_last_valid_height_belongs_to_the_blockhash_that_was_signed(open_workers: OpenWorkers) -> None:
    """The height is read after signing, with another, newer blockhash: too late is then taken for in time. Here
    blocks are made while the swap is built, between the blockhash and the signature."""
    async with open_workers() as b:
        at = b.at
        at.request_log.before["simulateTransaction"] = partial(at.advance, 20)
        await at.set_faults(drop=UNLIMITED)
        order_id = await b.post()
        async with b.working(tries=1):
            await b.ended(order_id)
        [(_, payload, height)] = await b.attempts()
        given = at.request_log.of("getLatestBlockhash")[0].answer["value"]
        assert message_of(payload).blockhash == given["blockhash"]
        view = await b.view(order_id)
        [attempt] = view["attempts"]
        assert given["lastValidBlockHeight"] == height == attempt["lastValidHeight"]
        assert attempt["proof"]["heightSeen"] == height + 1, "and it counts: one block past it is the end"


async def test_swaps_of_unknown_outcome_do_not_trip_a_venues_breaker(open_workers: OpenWorkers) -> None:
    """A breaker counts sends without an answer as failures of the venue, marks their orders as failed, and keeps the
    next ones from it."""
    async with open_workers() as b:
        at = b.at
        await at.set_faults(answers=wrong_answers("503", "sendTransaction", requests=4))
        async with b.working(breaker_failures=1):
            first = await b.post()
            await b.settled(first)
            await only_attempt(b, first)
            assert [one.answer for one in at.request_log.sends[:4]] == [None] * 4
            next_one = await b.post()
            assert await b.settled(next_one) == [
                "pending",
                "routing",
                "building",
                "submitted",
                *b.confirmations,
            ]
        assert len(await at.swaps()) == 2


# ---- forks -----------------------------------------------------------------------------------------------------------


async def test_a_confirmed_swap_that_a_fork_takes_back_is_reported_and_lands_again_as_the_same_bytes(
    open_workers: OpenWorkers,
) -> None:
    """A confirmed swap is taken for final: the fill is gone and no event reports it, or it is bought again."""
    async with open_workers(consensus=Consensus.TOWER) as b:
        order_id = await b.post()
        async with b.working():
            await b.reached(order_id, Status.CONFIRMED)
            first_slot = (await b.view(order_id))["fill"]["slot"]
            await b.at.fork(3)
            await b.reached(order_id, Status.CONFIRMED, Status.SUBMITTED, Status.CONFIRMED)
            await b.at.advance(FINAL)
            statuses = statuses_of(await b.ended(order_id))
        assert statuses[3:] == ["submitted", "confirmed", "submitted", "confirmed", "confirmed"]
        view = await only_attempt(b, order_id)
        undone = view["events"][5]
        assert (undone["reason"], undone["txHash"]) == ("un-confirmed", view["txHash"])
        assert undone["proof"]["slotSeen"] > first_slot
        assert view["fill"]["slot"] > first_slot, "where it is now"
        assert len(b.at.request_log.sends) == 2


async def test_a_confirmed_swap_whose_blockhash_is_on_the_abandoned_fork_expires_and_is_made_anew(
    open_workers: OpenWorkers,
) -> None:
    """The same bytes can never land again, and that is proven before others are signed."""
    async with open_workers(consensus=Consensus.TOWER) as b:
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
