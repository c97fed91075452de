"""Nodes that lie: one swap lands on the chain, and nothing is taken for final that is not.

The localnet itself tells the lies, although it has the right values; see `docs/LOCALNET.md`.
"""

import asyncio
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from dexexec.domain.status import Status
from dexexec.domain.swap import Landed, NotSeen, SignedSwap, Unavailable, past_expiry
from dexexec.domain.token import WSOL
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.attempt import PendingAttempt
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.solana.rpc import Localnet
from dexexec.settlement.solana.rpc.genesis_check import VALID_SECONDS
from dexexec.venue import BadAnswer, Network, VenueError
from tests.support.executed_once import only_attempt
from tests.support.localnet.in_process import run_localnet
from tests.support.localnet.request_log import payload_of
from tests.support.localnet.rpc_chains import LONG_TIMEOUTS, open_chain, wrong_answers
from tests.support.localnet.settlement_setup import (
    EXPIRED,
    FINAL,
    SELL_SOL,
    UNLIMITED,
    ChainWithoutNotifications,
    SettlementSetup,
    settlement_setup,
)
from tests.support.localnet.worker_setup import OpenWorkers, WorkerSetup
from tests.support.orders_on_servers import statuses_of

HIGH = 22_000_000
ONE, TWO, LIAR = "", "/nodes/two", "/nodes/liar"
HEIGHTS: dict[str, dict[str, Any]] = {
    "height": {"height": HIGH},
    "a little": {"height": 300},
    "all numbers alike": {"height": HIGH, "lastValidHeight": HIGH, "slot": HIGH},
}


def why(at: SettlementSetup) -> str:
    """All log lines about nodes that are not believed."""
    return "; ".join(line[2] for line in at.listener.lines if line[0] == "failed")


async def leave_slots_behind(at: SettlementSetup) -> None:
    """Slots run ahead of heights, as on every real cluster."""
    for _ in range(3):
        await at.advance(31)
        await at.fork(31)
    await at.advance(FINAL + 2)


# ---- heights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [{"height": HIGH}, {"height": 300}, {"slotForHeight": True}], ids=str)
async def test_promise_5_a_single_node_that_contradicts_itself_proves_nothing(
    tmp_path: Path, lie: dict[str, Any]
) -> None:
    async with settlement_setup(tmp_path) as at:
        await leave_slots_behind(at)
        signed = await at.signed()
        await at.set_faults(drop=3, lies=lie)
        result = await at.settle(signed)
        assert (result.outcome, result.proof["sends"]) == (at.recorded, 4)
        assert await at.swaps() == [signed.signature]
        assert "contradicts itself" in why(at)


@pytest.mark.parametrize("lie", HEIGHTS.values(), ids=HEIGHTS)
async def test_promise_5_one_lying_node_of_three_gives_no_false_proof_and_makes_no_other_lag(
    tmp_path: Path, lie: dict[str, Any]
) -> None:
    async with settlement_setup(tmp_path, LIAR, ONE, TWO) as at:
        signed = await at.signed()
        for node in (ONE, TWO):
            await at.set_faults(node, drop=UNLIMITED)
        await at.set_faults(LIAR, drop=UNLIMITED, lies=lie)
        result = await at.settle(signed)
        assert result.outcome == "expired"
        assert result.proof["heightSeen"] == signed.last_valid_height + 1, "neither sooner nor later"
        assert at.net.ledger.blocks.tip.height > signed.last_valid_height + at.final
        assert "lags" not in at.listener.kinds


async def test_promise_5_of_two_that_contradict_each_other_the_lower_one_decides(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path, LIAR, ONE) as at:
        signed = await at.signed()
        await at.set_faults(ONE, drop=UNLIMITED)
        await at.set_faults(LIAR, drop=UNLIMITED, lies=HEIGHTS["all numbers alike"])
        result = await at.settle(signed)
        assert (result.outcome, result.proof["heightSeen"]) == ("expired", signed.last_valid_height + 1)
        assert why(at), "the operator hears of it"


async def test_promise_5_a_single_node_whose_numbers_go_together_after_a_restart_proves_nothing_out_of_time(
    tmp_path: Path,
) -> None:
    """A new process has no earlier reports of the node, only the time at which the attempt was recorded."""
    async with settlement_setup(tmp_path) as at:
        signed = await at.signed()
        pending = PendingAttempt(
            signed=signed,
            request=SELL_SOL,
            deadline=math.inf,
            resumed=True,
            venue=at.venue,
            signed_at=at.clock.monotonic(),
        )
        await at.set_faults(drop=2, lies=HEIGHTS["all numbers alike"])
        async with open_chain(Localnet([at.net.url], at.clock, at.listener, LONG_TIMEOUTS)) as chain:
            settlement = Settlement({Network.LOCALNET: ChainWithoutNotifications(chain)}, {}, at.clock, at.observer)
            result = await settlement.settle(pending, lambda: True)
        assert result.outcome in {"confirmed", "landed"}
        assert result.proof["sends"] == 3
        assert await at.swaps() == [signed.signature]


async def test_promise_3_an_order_is_swapped_once_although_its_only_node_reports_a_false_height(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:
        await b.at.set_faults(drop=2, lies={"height": HIGH})
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        await only_attempt(b, order_id)


async def test_promise_3_an_order_is_swapped_once_although_one_of_three_nodes_lies_about_everything(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers(LIAR, ONE, TWO) as b:
        lies = {**HEIGHTS["all numbers alike"], "finalized": True, "failed": True}
        await b.at.set_faults(LIAR, drop=2, lies=lies)
        for node in (ONE, TWO):
            await b.at.set_faults(node, drop=2)
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        await only_attempt(b, order_id)


# ---- what is left: one node that lies consistently -------------------------------------------------------------------


async def lie_consistently(b: WorkerSetup, **more: Any) -> None:
    """The only node reports 400 blocks that do not exist, as soon as the first attempt is sent, which lands 20 slots
    late."""
    await b.at.set_faults(late={"transactions": 1, "slots": 20})
    lies = {"height": 400, "slot": 400, "lastValidHeight": 400}
    b.at.request_log.before["getSignatureStatuses"] = partial(b.at.set_faults, lies=lies, **more)


async def test_promise_5_an_order_ends_with_an_earlier_attempt_that_landed_although_it_was_proven_gone(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:
        await lie_consistently(b, drop=UNLIMITED)
        order_id = await b.post()
        async with b.working():
            statuses = statuses_of(await b.ended(order_id))
        view = await b.view(order_id)
        first, second = view["attempts"]
        assert await b.at.swaps() == [first["txHash"]] == [view["txHash"]]
        assert [first["outcome"], second["outcome"]] == ["landed", "expired"]
        assert statuses[-5:] == ["submitted", "routing", "building", "submitted", "confirmed"]
        last = (await b.events(order_id))[-1]
        assert (last.detail["txHash"], last.detail["attempt"], last.final) == (first["txHash"], 1, True)
        assert (view["status"], view["fill"]["finalized"]) == ("confirmed", True)
        assert int(view["amountIn"]) == SELL_SOL.amount
        assert int(view["amountOut"]) == int(view["fill"]["amountOut"]) > 0
        sent = {payload_of(one) for one in b.at.request_log.sends}
        assert len(sent) == 2, "nothing more was signed"


async def test_promise_3_two_swaps_of_one_order_are_reported_as_two(open_workers: OpenWorkers) -> None:
    """Two swaps cannot be prevented if all available nodes lie; so the record must show both."""
    async with open_workers(consensus=Consensus.TOWER) as b:
        await lie_consistently(b)
        order_id = await b.post()
        with capture_logs() as log:
            b.at.observer.log = structlog.get_logger()
            async with b.working():
                await b.reached(order_id, Status.CONFIRMED)
                await b.at.advance(20 + FINAL)
                await b.ended(order_id)
        view = await b.view(order_id)
        first, second = view["attempts"]
        assert await b.at.swaps() == [first["txHash"], second["txHash"]]
        assert [first["outcome"], second["outcome"]] == ["landed", "landed"]
        assert view["txHash"] == second["txHash"]
        also: Any
        [also] = view["events"][-1]["alsoLanded"]
        assert (also["txHash"], also["attempt"], also["amountIn"]) == (first["txHash"], 1, str(SELL_SOL.amount))
        alarms = [one for one in log if one["log_level"] == "critical"]
        assert alarms[-1]["txs"] == [second["txHash"], first["txHash"]]


# ---- last valid heights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [-HIGH, -100, 1_000, HIGH])
async def test_promise_5_nothing_is_signed_with_a_last_valid_height_that_cannot_be(tmp_path: Path, lie: int) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.set_faults(lies={"lastValidHeight": lie})
        with pytest.raises(VenueError, match=r"last valid height") as refused:
            await at.chain.blockhash()
        assert refused.value.shared
        await at.set_faults()
        assert (await at.chain.blockhash()).last_valid_height == at.net.ledger.blocks.tip.height - at.confirmed + 150


@pytest.mark.parametrize("lie", [-100, 1_000, HIGH])
async def test_a_blockhash_of_an_honest_node_is_taken_instead(tmp_path: Path, lie: int) -> None:
    async with settlement_setup(tmp_path, LIAR, ONE) as at:
        await at.set_faults(LIAR, lies={"lastValidHeight": lie})
        assert (await at.chain.blockhash()).last_valid_height == at.net.ledger.blocks.tip.height - at.confirmed + 150


async def test_a_blockhash_is_taken_although_the_finalized_height_is_wrong_from_the_start(tmp_path: Path) -> None:
    """It is consistent with the node's answer when only its newest height is requested."""
    async with settlement_setup(tmp_path) as at:
        await leave_slots_behind(at)
        await at.set_faults(lies={"slotForHeight": True})
        async with open_chain(Localnet([at.net.url], at.clock, at.listener, LONG_TIMEOUTS)) as fresh:
            found = await fresh.blockhash()
        assert found.last_valid_height == at.net.ledger.blocks.tip.height - at.confirmed + 150


async def test_with_two_that_are_too_far_apart_nothing_is_signed(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.set_faults(LIAR, lies=HEIGHTS["all numbers alike"])
        nodes = [at.net.url + node for node in (LIAR, ONE)]
        async with open_chain(Localnet(nodes, at.clock, at.listener, LONG_TIMEOUTS)) as fresh:
            with pytest.raises(BadAnswer, match="contradict each other") as refused:
                await fresh.blockhash()
        assert refused.value.shared


# ---- landings --------------------------------------------------------------------------------------------------------


async def test_a_landing_is_not_final_before_the_nodes_own_finalized_slot_is_past_it(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path, consensus=Consensus.TOWER) as at:
        signed = await at.signed()
        await at.set_faults(lies={"finalized": True})
        assert (await at.settle(signed)).outcome == "confirmed"
        [status] = await at.chain.status([signed.signature])
        assert isinstance(status, Landed)
        assert not status.finalized
        await at.advance(FINAL)
        [status] = await at.chain.status([signed.signature])
        assert isinstance(status, Landed)
        assert status.finalized


@pytest.mark.parametrize("lie", [{"finalized": True}, {"finalized": True, "slot": 1_000}], ids=str)
async def test_one_of_three_cannot_make_a_landing_final(tmp_path: Path, lie: dict[str, Any]) -> None:
    async with settlement_setup(tmp_path, LIAR, ONE, TWO, consensus=Consensus.TOWER) as at:
        signed = await at.signed()
        await at.set_faults(LIAR, lies=lie)
        assert (await at.settle(signed)).outcome == "confirmed"
        [status] = await at.chain.status([signed.signature], history=True)
        assert isinstance(status, Landed)
        assert not status.finalized


async def test_promise_5_one_of_three_cannot_make_a_swap_that_landed_a_failure(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path, LIAR, ONE, TWO) as at:
        signed = await at.signed()
        await at.set_faults(LIAR, lies={"failed": True, "finalized": True})
        await at.settlement.settle(_pending(signed), lambda: True)
        await at.advance(FINAL)
        [status] = await at.chain.status([signed.signature])
        assert isinstance(status, Landed)
        assert status.finalized


# ---- another chain ---------------------------------------------------------------------------------------------------


async def test_promise_5_a_node_of_another_chain_that_comes_late_is_not_used(tmp_path: Path) -> None:
    """It does not answer at the start. When it does, its height is far past the real one, and it has none of our
    swaps."""
    async with (
        run_localnet(tmp_path / "other") as other,
        settlement_setup(tmp_path / "ours", ONE) as at,
    ):
        await other.advance(2_000)
        chain = Localnet([other.url, at.net.url], at.clock, at.listener, LONG_TIMEOUTS)
        async with open_chain(chain):
            await other.set_faults(answers=wrong_answers("503"))
            assert await chain.genesis_hash() == await at.net.rpc("getGenesisHash")
            await other.set_faults()
            signed = await at.signed()
            for history in (False, True):
                [status] = await chain.status([signed.signature], history=history)
                assert isinstance(status, NotSeen)
                assert not past_expiry(status, signed.last_valid_height)
            assert (await chain.blockhash()).last_valid_height == at.net.ledger.blocks.tip.height - at.confirmed + 150
            assert "serves another chain" in why(at)


async def test_a_node_that_is_exchanged_for_one_of_another_chain_is_noticed_when_it_is_back(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.chain.genesis_hash()
        await at.set_faults(lies={"genesis": "another"})
        await at.chain.accounts([])
        await at.set_faults(lies={"genesis": "another"}, answers=wrong_answers("503", requests=1))
        for words in ("503", "another chain"):
            with pytest.raises(VenueError, match=words) as refused:
                await at.chain.accounts([])
            assert refused.value.shared
        await at.set_faults()
        at.clock.advance(VALID_SECONDS)
        await at.chain.accounts([])


async def test_a_nodes_genesis_hash_is_checked_now_and_then(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.chain.genesis_hash()
        await at.set_faults(lies={"genesis": "another"})
        await at.chain.accounts([])
        at.clock.advance(VALID_SECONDS)
        at.request_log.requests.clear()
        found = await asyncio.gather(*(at.chain.token_accounts(WSOL) for _ in range(5)), return_exceptions=True)
        assert all("another chain" in str(one) for one in found)
        assert len(at.request_log.of("getGenesisHash")) == 1, "whoever asks"


async def test_no_expiry_is_proven_without_checking_the_chains_genesis(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.chain.genesis_hash()
        signed = await at.signed()
        await at.advance(EXPIRED)
        await at.set_faults(lies={"genesis": "another"})
        [status] = await at.chain.status([signed.signature], history=True)
        assert isinstance(status, Unavailable)
        assert "another chain" in status.detail


def _pending(signed: SignedSwap) -> PendingAttempt:
    return PendingAttempt(signed=signed, request=SELL_SOL, deadline=math.inf, resumed=False)
