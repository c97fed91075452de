"""An order is explained in sentences that carry their figures, from what the API returns for it."""

import io
import re
from pathlib import Path
from typing import Any

import pytest

from dexexec.api.explanation import explain, stages
from dexexec.cli.explain import write_text
from dexexec.config.settings import Settings, env_name
from dexexec.domain.cost import CostSum
from dexexec.domain.failure_advice import ADVICE, OTHER, advice_for
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens

TOKENS = Tokens(KNOWN)
ROOT = Path(__file__).parents[3]


def order(**changes: Any) -> dict[str, Any]:
    """A confirmed order that bought USDC with half a SOL, as the API returns it."""
    return {
        "orderId": "01a22828-c1f4-7f6b-93c1-89d6a5f20a51",
        "status": "confirmed",
        "side": "buy",
        "amount": "0.5",
        "mode": "exactIn",
        "inputMint": WSOL,
        "outputMint": USDC,
        "slippageBps": 50,
        "venue": "b",
        "failureReason": None,
        "amountIn": "500000000",
        "amountOut": "75222216",
        "deadlineAt": "2026-11-29T16:39:49.462Z",
        "createdAt": "2026-11-29T16:34:49.468Z",
        "finishedAt": "2026-11-29T16:34:50.053Z",
        "finalizedAt": "2026-11-29T16:34:50.053Z",
        "waitingFor": None,
        "feesPaid": "5000",
        "cost": {"final": True, **CostSum().detail()},
        "events": [
            {"seq": 1, "status": "pending", "at": "2026-11-29T16:34:49.468Z", "minOut": "74000000"},
            {"seq": 2, "status": "routing", "at": "2026-11-29T16:34:49.531Z", "round": 1, "quotes": [WON, LOST, DOWN]},
            {"seq": 3, "status": "building", "at": "2026-11-29T16:34:49.531Z", "venue": "b"},
            {"seq": 4, "status": "submitted", "at": "2026-11-29T16:34:49.532Z", "venue": "b", "txHash": "5kK",
             "attempt": 1, "lastValidHeight": 373},
            {"seq": 5, "status": "confirmed", "at": "2026-11-29T16:34:50.053Z", "amountIn": "500000000",
             "amountOut": "75222216", "slippageBps": "3.33", "finalized": True},
        ],
        "attempts": [
            {"attempt": 1, "venue": "b", "txHash": "5kK", "outcome": "landed", "at": "2026-11-29T16:34:49.532Z",
             "resolvedAt": "2026-11-29T16:34:50.053Z", "proof": {"slot": 224, "sends": 1, "finalized": True},
             "endpoints": []},
        ],
        **changes,
    }  # fmt: skip


WON = {
    "venue": "b", "selected": True, "amountIn": "500000000", "amountOut": "75247199", "priceImpactBps": "0.13",
    "fee": "151179", "feeMint": USDC,
}  # fmt: skip
LOST = {
    "venue": "a", "selected": False, "amountIn": "500000000", "amountOut": "75115574", "priceImpactBps": "0.11",
    "fee": "1250000", "feeMint": WSOL, "reason": "worse-price", "detail": "131624 base units less received than b",
}  # fmt: skip
DOWN = {"venue": "c", "selected": False, "reason": "timeout", "detail": "no answer within 1000 ms"}


def texts(explained: dict[str, Any]) -> list[str]:
    return [sentence["text"] for sentence in explained["sentences"]]


def test_a_confirmed_order_is_described_from_its_post_to_its_final_fill() -> None:
    explained: dict[str, Any] = explain(order(), TOKENS)
    assert explained["summary"] == "Swapped 0.5 SOL for 75.222216 USDC on b; the swap is final."
    assert explained["advice"] is None
    assert texts(explained) == [
        "Accepted: spend 0.5 SOL for USDC, receiving at least 74 USDC, slippage of at most 50 bps,"
        " until 2026-11-29T16:39:49.462Z.",
        "Round 1: 3 venues asked, 2 quotes received.",
        "b won: 75.247199 USDC for 0.5 SOL, price impact 0.13 bps, fee 0.151179 USDC.",
        "a lost (worse-price): 75.115574 USDC for 0.5 SOL, price impact 0.11 bps, fee 0.00125 SOL;"
        " 131624 base units less received than b.",
        "c lost (timeout); no answer within 1000 ms.",
        "b builds the swap.",
        "Attempt 1 on b was signed, recorded and then sent: 5kK. It can land until block 373.",
        "Swapped 0.5 SOL for 75.222216 USDC, 3.33 bps worse than first quoted; the swap is final.",
        "Attempt 1 landed, in slot 224.",
    ]
    assert [sentence["afterMs"] for sentence in explained["sentences"]] == [0, 63, 63, 63, 63, 63, 64, 585, 585]


def test_the_figures_of_a_sentence_are_those_of_its_event() -> None:
    explained: dict[str, Any] = explain(order(), TOKENS)
    of = {sentence["text"].split()[0]: sentence["figures"] for sentence in explained["sentences"]}
    assert of["a"] == LOST
    assert of["Attempt"] == {"slot": 224, "sends": 1, "finalized": True}


def test_a_sale_for_an_exact_amount_names_the_tokens_the_other_way_round() -> None:
    sale = order(side="sell", mode="exactOut", amount="0.5")
    sale["events"] = [{"seq": 1, "status": "pending", "at": sale["createdAt"], "minOut": "1", "maxIn": "80000000"}]
    first = texts(explain(sale, TOKENS))[0]
    assert first.startswith("Accepted: receive 0.5 SOL for USDC, spending at most 80 USDC,")


@pytest.mark.parametrize("status", ["pending", "confirmed"])
def test_an_order_of_an_older_table_is_described_without_the_values_that_it_never_had(status: str) -> None:
    detail = "taken over from a table of orders that was there before; nobody works on it"
    taken = order(
        status=status, inputMint=None, outputMint=None, slippageBps=None, deadlineAt=None, amountIn=None,
        amountOut=None, venue=None, finalizedAt=None, attempts=[], feesPaid="0",
    )  # fmt: skip
    taken["events"] = [
        {"seq": 1, "status": status, "at": taken["createdAt"], "final": True, "takenOver": True, "detail": detail}
    ]
    explained: dict[str, Any] = explain(taken, TOKENS)
    assert explained["summary"] == f"The order is {status}: it was {detail}."
    assert texts(explained) == [f"Recorded as {status}: {detail}."]
    assert explained["advice"] is None


@pytest.mark.parametrize("mints", [(WSOL, USDC), ("", "")])
def test_an_order_that_was_read_back_from_the_chain_is_described_without_a_bound_or_deadline(
    mints: tuple[str, str],
) -> None:
    restored = order(inputMint=mints[0], outputMint=mints[1], slippageBps=0, deadlineAt=order()["createdAt"])
    restored["events"] = [
        {"seq": 1, "status": "pending", "at": restored["createdAt"], "recovered": True, "detail": "read back"}
    ]
    first = texts(explain(restored, TOKENS))[0]
    assert first == "Accepted: spend 0.5 SOL for USDC; read back." if mints[0] else "Accepted; read back."


@pytest.mark.parametrize(("status", "words"), [("failed", "failed"), ("expired", "expired")])
def test_an_order_without_a_fill_is_described_with_its_cause_and_the_remedy(status: str, words: str) -> None:
    ended = order(
        status=status, failureReason="slippage", amountIn=None, amountOut=None, venue=None, finalizedAt=None,
        attempts=[], feesPaid="0",
    )  # fmt: skip
    ended["events"] = [
        *ended["events"][:1],
        {"seq": 2, "status": "routing", "at": ended["createdAt"], "round": 1, "quotes": [DOWN], "reason": "timeout",
         "retryInMs": 373},
        {"seq": 3, "status": status, "at": ended["finishedAt"], "reason": "slippage", "detail": "8331 bps too low"},
    ]  # fmt: skip
    explained: dict[str, Any] = explain(ended, TOKENS)
    assert explained["summary"] == f"The order {words} (slippage). Nothing was swapped."
    assert explained["advice"] == ADVICE[FailureReason.SLIPPAGE]
    assert texts(explained)[-2:] == [
        "No quote could be executed; the next round follows after 373 ms.",
        f"The order {words} (slippage): 8331 bps too low.",
    ]


def test_a_failed_attempt_is_described_with_its_proof_and_its_cost() -> None:
    proof = {"slot": 9, "code": "slippage", "detail": "the price moved", "fee": "5000", "sends": 1}
    failed = order(status="failed", failureReason="slippage", amountIn=None, amountOut=None, finalizedAt=None)
    failed["attempts"] = [{**failed["attempts"][0], "outcome": "failed", "proof": proof}]
    failed["events"] = failed["events"][:4]
    explained: dict[str, Any] = explain(failed, TOKENS)
    assert explained["summary"].endswith("Nothing was swapped; failed attempts cost 5000 lamports.")
    assert "Attempt 1 failed on chain, without effect: the price moved, in slot 9." in texts(explained)


def test_a_swap_that_the_chain_took_back_is_described_with_what_it_had_moved() -> None:
    reason = "the block is no longer on the chain"
    taken_back = order(status="submitted", finishedAt=None, finalizedAt=None, amountIn=None, amountOut=None)
    taken_back["attempts"] = [{**taken_back["attempts"][0], "outcome": "open", "resolvedAt": None, "proof": None}]
    taken_back["events"][4]["finalized"] = False
    taken_back["events"].append(
        {"seq": 6, "status": "submitted", "at": "2026-11-29T16:34:51.000Z", "venue": "b", "attempt": 1, "txHash": "5kK",
         "reason": "un-confirmed", "detail": reason}
    )  # fmt: skip
    assert texts(explain(taken_back, TOKENS))[-2:] == [
        "Swapped 0.5 SOL for 75.222216 USDC, 3.33 bps worse than first quoted;"
        " the swap is on chain, and can still be undone.",
        f"Attempt 1 is open again (un-confirmed): {reason}.",
    ]


def test_every_further_swap_of_an_order_is_described() -> None:
    twice = order()
    twice["events"][4]["alsoLanded"] = [
        {"venue": "a", "attempt": 2, "txHash": "3fz", "amountIn": "1", "amountOut": "2", "slot": 9}
    ]
    assert texts(explain(twice, TOKENS))[7] == (
        "Swapped 0.5 SOL for 75.222216 USDC, 3.33 bps worse than first quoted; the swap is final. Attempt 2 landed as"
        " well: 0.000000001 SOL for 0.000002 USDC on a, 3fz."
    )


@pytest.mark.parametrize(("event", "text"), [
    ({"venue": "b"}, "b builds the swap."),
    ({"venue": "b", "detail": "it is on the chain"}, "b builds the swap: it is on the chain."),
    ({"venue": "b", "detail": "2 SOL are needed", "reason": "insufficient-funds", "waitMs": 373},
     "b waits up to 373 ms for funds: 2 SOL are needed."),
    ({"venue": "b", "detail": "the pool is gone", "reason": "no-route"},
     "b builds the swap, since the one before could not build: the pool is gone."),
])  # fmt: skip
def test_a_build_is_described_with_its_detail(event: dict[str, Any], text: str) -> None:
    built = order()
    built["events"][2] = {**built["events"][2], **event}
    assert text in texts(explain(built, TOKENS))


@pytest.mark.parametrize(("detail", "text"), [
    ("", "c lost (timeout)."), ("no answer.", "c lost (timeout); no answer."), ("no!", "c lost (timeout); no!"),
])  # fmt: skip
def test_an_empty_or_punctuated_detail_of_a_venue_makes_a_whole_sentence(detail: str, text: str) -> None:
    odd = order()
    odd["events"][1]["quotes"] = [WON, {**DOWN, "detail": detail}]
    assert text in texts(explain(odd, TOKENS))


def test_a_waiting_order_is_described_with_its_reason() -> None:
    waiting = {"reason": "landing", "detail": "it may land until block 373", "since": "2026-11-29T16:34:51.000Z"}
    moving = order(status="submitted", finishedAt=None, finalizedAt=None, waitingFor=waiting, amountIn=None)
    moving["events"], moving["attempts"] = moving["events"][:4], [{**moving["attempts"][0], "outcome": "open"}]
    explained: dict[str, Any] = explain(moving, TOKENS)
    assert explained["summary"] == "The order is submitted, waiting: it may land until block 373."
    assert texts(explained)[-1] == "It waits (landing): it may land until block 373."
    assert explained["advice"] is None


def test_stages_have_their_times_and_a_status_that_lasts_has_no_end() -> None:
    assert [stage["ms"] for stage in stages(order())] == [63, 0, 1, 521, 0]
    assert [stage["ms"] for stage in stages(order(finishedAt=None))][-1] is None


@pytest.mark.parametrize("reason", FailureReason)
def test_every_reason_has_its_advice_and_what_advice_names_exists(reason: FailureReason) -> None:
    names = set(re.findall(r"DEXEXEC_[A-Z_]+|SOLANA_[A-Z_]+", advice_for(reason)))
    assert names <= {env_name(name) for name in Settings.model_fields}
    fields = set(re.findall(r"\b[a-z]+[A-Z]\w*", advice_for(reason)))
    documented = "".join((ROOT / "docs" / name).read_text() for name in ("API.md", "OPERATIONS.md"))
    assert all(f"`{name}`" in documented for name in fields)


def test_a_transaction_error_of_solana_has_advice_too() -> None:
    assert advice_for("account-in-use") == OTHER


def test_an_explanation_is_printed_with_a_line_for_each_sentence() -> None:
    out = io.StringIO()
    ended = order(status="expired", failureReason="deadline", finalizedAt=None)
    write_text(explain(ended, TOKENS), out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "01a22828-c1f4-7f6b-93c1-89d6a5f20a51  expired"
    assert lines[3].startswith("     +0 ms  Accepted: spend 0.5 SOL")
    assert lines[-1] == f"What to do now: {ADVICE[FailureReason.DEADLINE]}"


def test_a_dry_run_is_never_reported_as_a_swap() -> None:
    accepted, routed, built, *_ = order()["events"]
    accepted = {**accepted, "dryRun": True}
    simulated = {"seq": 4, "status": "simulated", "at": "2026-11-29T16:34:50.053Z", "venue": "b",
                 "amountIn": "500000000", "amountOut": "75222216"}  # fmt: skip
    dry = order(status="simulated", finalizedAt=None, events=[accepted, routed, built, simulated], attempts=[])
    explained: dict[str, Any] = explain(dry, TOKENS)
    assert explained["summary"] == (
        "Dry run: 0.5 SOL for 75.222216 USDC were simulated on b. Nothing was signed or sent."
    )
    assert explained["advice"] is None
    assert explained["sentences"][0]["text"].startswith("Accepted as a dry run: ")
    last = explained["sentences"][-1]
    assert last["text"] == "Simulated on b: 0.5 SOL for 75.222216 USDC. Nothing was signed or sent."
    assert not any("wapped" in sentence["text"] for sentence in explained["sentences"])


def test_a_share_of_the_balance_is_described_with_what_it_came_to_and_the_account_that_is_closed() -> None:
    spendable = {"account": "7qHd", "slot": 75, "balance": "100000000", "reserved": "40000000"}
    closed = {"account": "7qHd", "rent": "2039280"}
    sale = order(side="sell", amount="all", shareBps=10_000, closeAccount=True)
    at = sale["createdAt"]
    sale["events"] = [
        {"seq": 1, "status": "pending", "at": at},
        {"seq": 2, "status": "routing", "at": at, "round": 1, "quotes": [], "amountBase": "60000000"}
        | {"spendable": spendable},
        {"seq": 3, "status": "submitted", "at": at, "attempt": 1, "venue": "b", "txHash": "5kK", "lastValidHeight": 373}
        | {"closeAccount": closed},
    ]  # fmt: skip
    found = texts(explain(sale, TOKENS))
    assert found[0].startswith("Accepted: spend all USDC of the wallet for SOL,")
    assert found[2] == (
        "The wallet held 100 USDC in slot 75, of which other orders may take 40 USDC: the order spends 60 USDC."
    )
    assert "It closes the emptied account 7qHd, which gives 2039280 lamports of rent back." in found[3]
    sale["events"][1] |= {"spendable": spendable | {"reserved": "0", "kept": "10000000"}}
    sale["events"][2] |= {"closeAccount": {"kept": "the account would keep 7 base units"}}
    found = texts(explain(sale | {"amount": "50%"}, TOKENS))
    assert found[0].startswith("Accepted: spend 50% of all USDC of the wallet for SOL,")
    assert "100 USDC in slot 75, and 10 USDC stays for fees and rent: the order spends 60 USDC." in found[2]
    assert found[3].endswith("The token account stays open: the account would keep 7 base units.")


def test_it_shows_where_an_attempt_was_sent_and_how_soon_it_landed() -> None:
    sent = {"sentAt": "2026-11-29T16:34:49.540Z", "sends": 3, "sendOnly": False, "landingSlots": 2, "landingMs": 430}
    sent_order = order()
    sent_order["attempts"][0]["endpoints"] = [
        {**sent, "endpoint": "one.example", "answer": "accepted"},
        {**sent, "endpoint": "two.example", "answer": "refused", "detail": "two.example: no (-32002)"},
        {**sent, "endpoint": "relay.example", "answer": "accepted", "sendOnly": True, "landingSlots": 0},
        {**sent, "endpoint": "full.example", "answer": "not-sent", "sends": 0, "sentAt": None, "landingSlots": None},
    ]
    assert (
        "Attempt 1 was sent up to 3 times: one.example accepted it, 2 slots before it landed; two.example refused it;"
        " relay.example (only takes transactions) accepted it, in the same slot; full.example got nothing."
    ) in texts(explain(sent_order, TOKENS))
