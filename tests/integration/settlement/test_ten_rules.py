"""The ten rules for sending a swap at most once, each on a real chain, by what was sent and what landed."""

# 1. Signed bytes, signature and last valid height are stored before the first send.
# 2. A blockhash is valid for 150 blocks: heights are compared, not slots.
# 3. The same bytes are sent again every two seconds, until they are confirmed or expired.
# 4. Signed again only when the finalized height is past the last valid one and no signature is in the whole history.
# 5. A send without an answer is unknown, never failed.
# 6. "Already processed" means: look. A landed error is final: the fee is paid, and nothing else happened.
# 7. One commitment for blockhash and preflight; acted upon when confirmed, recorded as final when finalized.
# 8. No send is checked by a node (`skipPreflight`): the same message was simulated before it was signed.
# 9. The compute unit limit comes from a simulation, and its price is paid for the limit, also by what fails.
# 10. Version 0; SOL is wrapped, swapped and unwrapped in one transaction.

import itertools
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.bound import Bound
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.domain.token import USDC, WSOL
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.message import Program, budget
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.venue import Network
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import encoded
from tests.support.localnet.request_log import LoggedRequest, payload_of
from tests.support.localnet.rpc_chains import timeouts_for, wrong_answers
from tests.support.localnet.settlement_setup import (
    BUY_SOL,
    EXPIRED,
    FINAL,
    MAX_PRICE,
    SELL_SOL,
    UNLIMITED,
    SettlementSetup,
    settlement_setup,
)
from tests.support.localnet.worker_setup import OpenWorkers
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import fixed, message_of
from tests.support.waiting import until

SLOT = 0.4
RHYTHM = 2.0
"""Seconds between two sends."""
SIGNATURES = 2 * 5_000
"""Lamports: the wallet's and the venue's."""


async def test_rule_1_signed_bytes_signature_and_last_valid_height_are_stored_before_the_first_send(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:
        stored: list[tuple[str, bytes, int]] = []

        async def look_first() -> None:
            stored.extend(await b.attempts())

        b.at.request_log.before["sendTransaction"] = look_first
        order_id = await b.post()
        async with b.working():
            await b.settled(order_id)
        [(signature, payload, height)] = stored
        assert {payload_of(sent) for sent in b.at.request_log.sends} == {payload}
        assert b.at.request_log.sends[0].answer == signature
        [given] = [one.answer["value"] for one in b.at.request_log.of("getLatestBlockhash")]
        assert (message_of(payload).blockhash, height) == (given["blockhash"], given["lastValidBlockHeight"])
        await b.executed_once(order_id)


async def test_rule_2_a_blockhash_lives_for_150_blocks_by_height_and_not_by_slot(tmp_path: Path) -> None:
    """Forks have left the slots so far ahead of the heights that by slots every blockhash would be dead at birth."""
    async with settlement_setup(tmp_path, consensus=Consensus.TOWER) as at:
        for _ in range(7):
            await at.advance(31)
            await at.fork(31)
        await at.advance(FINAL)
        last, dead = await at.signed(), await at.signed()
        tip = at.net.ledger.blocks.tip
        assert tip.slot > last.last_valid_height + FINAL
        await at.advance(last.last_valid_height - tip.height)
        assert (await at.settle(last, resumed=True)).outcome == at.recorded
        assert at.net.ledger.blocks.tip.height > dead.last_valid_height
        result = await at.settle(dead, resumed=True)
        assert result.outcome == "expired"
        assert result.proof["heightSeen"] == dead.last_valid_height + 1, "neither sooner nor later"
        assert await at.swaps() == [last.signature]


async def test_rule_3_the_same_bytes_are_sent_every_two_seconds_until_they_land_and_land_once(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.set_faults(drop=3)
        signed = await at.signed()
        result = await at.settle(signed)
        assert (result.outcome, result.proof["sends"]) == (at.recorded, 4)
        sends = at.request_log.sends
        assert {payload_of(sent) for sent in sends} == {signed.payload}
        assert {sent.options["maxRetries"] for sent in sends} == {0}
        check_rhythm(sends)
        before = await at.lamports()
        await at.net.rpc("sendTransaction", encoded(signed.payload), {"encoding": "base64", "skipPreflight": True})
        assert (await at.lamports(), await at.swaps()) == (before, [signed.signature]), "a duplicate is harmless"


def check_rhythm(sends: Sequence[LoggedRequest]) -> None:
    """Every two seconds, as far as looks come that often."""
    pauses = [later.at - sooner.at for sooner, later in itertools.pairwise(sends)]
    assert all(RHYTHM <= pause <= RHYTHM + SLOT for pause in pauses), pauses


async def test_rule_3_what_never_lands_is_sent_until_it_has_expired_and_not_after(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.set_faults(drop=UNLIMITED)
        signed = await at.signed()
        result = await at.settle(signed)
        sends = at.request_log.sends
        assert (result.outcome, result.proof["sends"]) == ("expired", len(sends))
        assert {payload_of(sent) for sent in sends} == {signed.payload}
        check_rhythm(sends)
        assert at.clock.monotonic() - sends[-1].at <= RHYTHM + SLOT, "to the end"
        assert at.request_log.requests[-1].options == {"searchTransactionHistory": True}, (
            "the proof is the last that is heard"
        )


async def test_rule_4_an_order_is_signed_again_only_when_none_of_its_signatures_can_land_any_more(
    open_workers: OpenWorkers,
) -> None:
    """Two attempts are lost. Before each next one the node whose finalized height is past the last valid one, and no
    other, has searched its history for every signature of the order."""
    async with open_workers() as b:
        at = b.at
        await at.set_faults(drop=UNLIMITED)

        async def second_expires() -> None:
            await at.advance(EXPIRED)
            at.request_log.before["simulateTransaction"] = at.set_faults

        at.clock.meanwhile += [partial(at.advance, EXPIRED), second_expires]
        order_id = await b.post()
        async with b.working():
            statuses = await b.settled(order_id)
        assert statuses.count("submitted") == 3
        view = await b.executed_once(order_id)
        first, second, _ = view["attempts"]
        assert [first["outcome"], second["outcome"]] == ["expired", "expired"]
        assert first["proof"]["signatures"] == [first["txHash"]]
        assert second["proof"]["signatures"] == [second["txHash"], first["txHash"]]
        builds = [
            place for place, request in enumerate(at.request_log.requests) if request.method == "simulateTransaction"
        ]
        for attempt, (begun, ended) in zip((first, second), itertools.pairwise(builds), strict=True):
            requests = at.request_log.requests[begun:ended]
            place = max(n for n, request in enumerate(requests) if request.method == "getSignatureStatuses")
            search = requests[place]
            height = [request for request in requests[:place] if request.method == "getEpochInfo"][-1]
            assert search.options == {"searchTransactionHistory": True}
            assert set(search.params[0]) == set(attempt["proof"]["signatures"])
            assert set(map(str, search.answer["value"])) == {"None"}
            assert height.options == {"commitment": "finalized"}
            assert height.answer["blockHeight"] == attempt["proof"]["heightSeen"] > attempt["lastValidHeight"]
            assert height.node == search.node == attempt["proof"]["node"]


@pytest.mark.parametrize("executed", [True, False], ids=["landed", "lost"])
@pytest.mark.parametrize(
    "answer", ["429", "503", "-32005", "-32002", "-32003", "-32602", "another", "garbage", "hang", "hangup"]
)
async def test_rule_5_any_answer_to_a_send_is_unknown_and_never_failed(
    tmp_path: Path, answer: str, executed: bool
) -> None:
    async with settlement_setup(tmp_path, timeouts=timeouts_for(answer)) as at:
        signed = await at.signed()
        await at.set_faults(answers=wrong_answers(answer, "sendTransaction", requests=1, execute=executed))
        result = await at.settle(signed)
        assert (result.outcome, result.proof["sends"]) == (at.recorded, 1 if executed else 2)
        assert {payload_of(sent) for sent in at.request_log.sends} == {signed.payload}
        assert await at.swaps() == [signed.signature]


async def test_rule_6_bytes_that_are_on_chain_already_are_looked_up(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        signed = await at.signed()
        await at.net.rpc("sendTransaction", encoded(signed.payload), {"encoding": "base64", "skipPreflight": True})
        await at.advance(2)
        assert (await at.settle(signed)).outcome == at.recorded
        assert await at.swaps() == [signed.signature]


async def test_rule_6_a_landed_error_is_final_its_fee_is_paid_and_it_had_no_effect(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        signed = await at.signed(BUY_SOL)
        await at.burn_dollars()
        before = await at.lamports()
        result = await at.settle(signed, request=BUY_SOL, resumed=True)
        assert (result.outcome, result.fill, result.proof["fee"]) == ("failed", None, str(SIGNATURES))
        [status] = await at.statuses([signed.signature])
        assert (result.proof["slot"], status["confirmationStatus"]) == (status["slot"], "finalized"), "not before"
        assert status["err"] is not None
        assert (await at.lamports(), await at.holds(USDC)) == (before - SIGNATURES, 0)
        assert len(at.request_log.sends) == 1, "what is known to be on chain is not sent again"
        assert (await at.swaps(failed=True), await at.swaps()) == ([signed.signature], [])


async def test_rule_7_blockhash_and_simulation_are_confirmed_a_fill_is_reported_when_confirmed_and_final_when_finalized(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers(consensus=Consensus.TOWER) as b:
        seen: list[tuple[str, str]] = []

        async def look() -> None:
            view = await b.view(order_id)
            [status] = await b.at.statuses([view["txHash"]])
            seen.append((status["confirmationStatus"], view["status"]))

        order_id = await b.post()
        b.at.clock.meanwhile.append(look)
        async with b.working():
            await b.reached(order_id, Status.CONFIRMED)
            assert seen == [("processed", "submitted")]
            await look()
            assert seen[-1] == ("confirmed", "confirmed")
            view = await b.view(order_id)
            assert (view["fill"]["finalized"], view["finishedAt"], view["finalizedAt"]) == (False, None, None)
            assert [event["final"] for event in view["events"]] == [False] * 5
            looks = len(b.at.request_log.of("getSignatureStatuses"))
            await b.at.advance(FINAL - 3)
            await until_looked(b.at, looks + 2)
            assert (await b.view(order_id))["finalizedAt"] is None, "31 blocks on top are not enough"
            await b.at.advance(1)
            await b.ended(order_id)
        view = await b.executed_once(order_id)
        assert (view["finishedAt"], view["events"][-1]["final"]) == (view["finalizedAt"], True)
        log = b.at.request_log
        reads = log.of("getLatestBlockhash", "getMultipleAccounts")
        assert {request.options["commitment"] for request in reads} == {"confirmed"}
        checks = log.of("simulateTransaction", "getTransaction")
        assert {request.options["commitment"] for request in checks} == {"confirmed"}
        assert {request.options["commitment"] for request in log.of("getEpochInfo")} == {"finalized"}


async def test_rule_7_where_confirmed_is_final_everything_is_read_as_finalized_and_a_fill_is_reported_once(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers(consensus=Consensus.ALPENGLOW) as b:
        order_id = await b.post()
        async with b.working():
            await b.ended(order_id)
        view = await b.executed_once(order_id)
        assert [event["status"] for event in view["events"]][-2:] == ["submitted", "confirmed"]
        assert [event["final"] for event in view["events"]] == [False] * 4 + [True]
        assert view["fill"]["finalized"]
        reads = b.at.request_log.of(
            "getLatestBlockhash", "getMultipleAccounts", "simulateTransaction", "getTransaction", "getEpochInfo"
        )
        assert {request.options["commitment"] for request in reads} == {"finalized"}


async def until_looked(at: SettlementSetup, count: int) -> None:
    """Wait until the chain has received that many requests for statuses."""
    await until(lambda: len(at.request_log.of("getSignatureStatuses")) >= count, pause=0.005)


async def test_rule_8_no_send_is_checked_before_it_is_passed_on_as_that_was_done_before_it_was_signed(
    tmp_path: Path,
) -> None:
    async with settlement_setup(tmp_path) as at:
        await at.set_faults(drop=2)
        await at.settle(await at.signed())
        assert [sent.options["skipPreflight"] for sent in at.request_log.sends] == [True, True, True]


async def test_rule_8_what_would_fail_when_it_was_signed_lands_as_a_failure_with_the_chains_reason(
    tmp_path: Path,
) -> None:
    async with settlement_setup(tmp_path) as at:
        signed = await at.signed(BUY_SOL)
        await at.burn_dollars()
        result = await at.settle(signed, request=BUY_SOL)
        assert (result.outcome, result.reason) == ("failed", "insufficient-funds")
        assert "custom program error: 0x1" in str(result.proof["detail"])
        assert (await at.swaps(failed=True), await at.swaps()) == ([signed.signature], [])


async def test_rule_9_the_compute_unit_limit_is_a_fifth_above_what_a_simulation_used(tmp_path: Path) -> None:
    """What a simulation of the message with the blockhash replaced has used, and of that 1.1 to 1.25 times."""
    async with settlement_setup(tmp_path, priority_fee=333_333) as at:
        for request in (SELL_SOL, BUY_SOL):
            signed = await at.signed(request)
            result = await at.settle(signed, request=request)
            assert result.fill is not None
            used = (await at.transaction(signed.signature))["meta"]["computeUnitsConsumed"]
            assert 1.1 * used <= budget(message_of(signed.payload)).limit <= 1.25 * used
        simulations = at.request_log.of("simulateTransaction")
        assert len(simulations) == 2
        assert {(one.options["replaceRecentBlockhash"], one.options["sigVerify"]) for one in simulations} == {
            (True, False)
        }


async def test_rule_9_the_price_is_paid_for_the_limit_also_by_what_fails(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path, priority_fee=333_333) as at:
        for fails in (False, True):
            signed = await at.signed(BUY_SOL)
            if fails:
                await at.burn_dollars()
            before = await at.lamports()
            result = await at.settle(signed, request=BUY_SOL, resumed=True)
            limit = budget(message_of(signed.payload)).limit
            due = SIGNATURES + math.ceil(limit * 333_333 / 1_000_000)
            assert due > SIGNATURES
            assert (await at.transaction(signed.signature))["meta"]["fee"] == due
            received = result.fill.amount_out if result.fill else 0
            assert await at.lamports() == before + received - due
            assert (result.fill is None, result.proof.get("fee", str(due))) == (fails, str(due))


async def test_rule_9_a_price_over_the_cap_is_neither_signed_nor_sent(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        for price, passes in ((MAX_PRICE, True), (MAX_PRICE + 1, False)):
            sealer = solana_sealer(at.chain, at.wallet, GuardRules(MAX_PRICE), at.clock, price=fixed(price))
            settlement = Settlement({Network.LOCALNET: at.chain}, {Network.LOCALNET: sealer}, at.clock, at.observer)
            quote = await at.venue.quote(SELL_SOL, at.clock.monotonic() + 20)
            if passes:
                sealed = await settlement.prepare(at.venue, quote, math.inf, an_attempt(), bound=Bound.of(quote))
                assert budget(message_of(sealed.signed.payload)).price == price
                continue
            with pytest.raises(GuardError) as caught:
                await settlement.prepare(at.venue, quote, math.inf, an_attempt(), bound=Bound.of(quote))
            assert caught.value.rule is Rule.COMPUTE
        assert at.request_log.sends == []


async def test_rule_10_native_sol_is_wrapped_swapped_and_closed_in_one_version_0_transaction(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        signed = await at.signed(SELL_SOL)
        assert steps_of(signed) == [
            ("compute-budget", 2),
            ("associated-token", 0),  # our wrapped SOL: it is not there, and must not be if it is closed in the end
            ("system", 2),  # Transfer
            ("token", 17),  # SyncNative
            ("associated-token", 1),
            ("token", 12),  # TransferChecked
            ("token", 12),
            ("token", 9),  # CloseAccount
            ("memo", None),
        ]
        before, dollars = await at.lamports(), await at.holds(USDC)
        fill = (await at.settle(signed)).fill
        assert fill is not None
        assert before - await at.lamports() == SELL_SOL.amount + fill.fee, "no rent stays behind"
        assert await at.holds(USDC) - dollars == fill.amount_out
        await landed_whole(at, signed)


async def test_rule_10_what_comes_out_as_sol_is_unwrapped_in_the_same_transaction(tmp_path: Path) -> None:
    async with settlement_setup(tmp_path) as at:
        signed = await at.signed(BUY_SOL)
        assert [step for step in steps_of(signed) if step[0] != "memo"][1:] == [
            ("associated-token", 0),
            ("token", 12),
            ("token", 12),
            ("token", 9),
        ]
        before = await at.lamports()
        fill = (await at.settle(signed, request=BUY_SOL)).fill
        assert fill is not None
        assert await at.lamports() - before == fill.amount_out - fill.fee
        await landed_whole(at, signed)


def steps_of(signed: SignedSwap) -> list[tuple[str, int | None]]:
    """Programs and instruction numbers, in order."""
    names: dict[str, str] = {one.value: one.name.lower().replace("_", "-") for one in Program}
    return [
        (names[one.program], None if one.program == Program.MEMO else one.data[0])
        for one in message_of(signed.payload).instructions
    ]


async def landed_whole(at: SettlementSetup, signed: SignedSwap) -> None:
    """It is of version 0, alone, and has left no account for wrapped SOL."""
    shown: Any = await at.transaction(signed.signature)
    assert shown["version"] == 0
    assert await at.swaps() == [signed.signature]
    wrapped = Pubkey.from_string(associated_token_account(at.wallet.address, WSOL))
    assert (await at.net.client.get_account_info(wrapped)).value is None
