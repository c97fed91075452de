"""Settlement: three ways out, each with its proof, and no way from unknown to failed."""

from collections.abc import Callable

import pytest

from dexexec.domain.quote import Fill
from dexexec.domain.swap import (
    Accepted,
    FailedOnChain,
    Landed,
    NotSeen,
    Rejected,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
)
from dexexec.errors import ClaimLostError
from dexexec.observe import Observer, make_logger
from dexexec.settlement.settle import Fate, Settlement
from dexexec.settlement.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, Network, QuoteExpired, Slippage, Timeout
from tests.scripted import SELL_ONE_SOL, ScriptedChain, ScriptedVenue, quote_of, raising

SIGNED = SignedSwap("sig", b"bytes", last_valid_height=150)
FILL = Fill(10, 20, 5_000, 7)
LANDED = Landed(FILL)
ALIVE = NotSeen(height=100, history=True, node="n")
EXPIRED = NotSeen(height=151, history=True, node="n")


class Bench:
    """A settlement on a scripted chain, in time that only passes when something waits for it."""

    def __init__(self, *statuses: SwapStatus, submits: tuple[SubmitAnswer, ...] = (Accepted(),)) -> None:
        self.clock = ManualClock()
        self.chain = ScriptedChain()
        self.chain.statuses, self.chain.submits = list(statuses), list(submits)
        self.venue = ScriptedVenue("v", self.clock, chain=self.chain)
        observer = Observer(make_logger("critical"))
        chains = {Network.SIMULATED: self.chain}
        self.settlement = Settlement(chains, {Network.SIMULATED: SimulatedSigner()}, self.clock, observer)

    async def settle(
        self, *, resumed: bool = False, deadline: float = 1e9, may_send: Callable[[], bool] = lambda: True
    ) -> Fate:
        return await self.settlement.settle(self.venue, SIGNED, resumed=resumed, deadline=deadline, may_send=may_send)


async def test_a_swap_that_landed_is_a_fill_with_what_really_moved() -> None:
    fate = await Bench(ALIVE, ALIVE, LANDED).settle()
    assert (fate.outcome, fate.fill) == ("landed", FILL)


async def test_a_swap_that_failed_on_chain_keeps_the_chains_reason() -> None:
    fate = await Bench(FailedOnChain("slippage", "moved", 5_000, 7)).settle()
    assert (fate.outcome, fate.reason, fate.fill) == ("failed", "slippage", None)
    assert fate.proof["slot"] == 7


@pytest.mark.parametrize("unknown", [Unknown("timeout"), Unknown("429")])
async def test_promise_5_an_unknown_answer_to_sending_is_never_a_failure(unknown: Unknown) -> None:
    fate = await Bench(Unavailable("503"), ALIVE, LANDED, submits=(unknown,)).settle()
    assert fate.outcome == "landed"


@pytest.mark.parametrize(
    "not_a_proof",
    [
        NotSeen(height=150, history=True, node="n"),  # the last valid height itself still takes it
        NotSeen(height=10_000, history=False, node="n"),  # only the recent statuses were searched
        Unavailable("nobody knows"),
    ],
)
async def test_promise_5_only_a_full_search_past_the_last_valid_height_proves_expiry(not_a_proof: SwapStatus) -> None:
    bench = Bench(*[not_a_proof] * 50, LANDED)
    assert (await bench.settle()).outcome == "landed"
    assert bench.chain.looked_up == 51


async def test_an_expired_attempt_carries_its_proof() -> None:
    fate = await Bench(ALIVE, EXPIRED).settle()
    assert fate.outcome == "expired"
    assert fate.proof == {
        "signature": "sig", "lastValidHeight": 150, "heightSeen": 151, "historySearched": True, "node": "n", "sends": 1,
    }  # fmt: skip


async def test_the_same_bytes_are_sent_again_about_every_two_seconds_until_it_lands() -> None:
    bench = Bench(*[ALIVE] * 20, LANDED)
    await bench.settle()
    assert len(bench.chain.sent) > 2
    assert set(map(id, bench.chain.sent)) == {id(SIGNED)}
    assert bench.clock.monotonic() / len(bench.chain.sent) >= 1.5


async def test_a_refusal_of_bytes_that_were_never_sent_is_definitive() -> None:
    bench = Bench(LANDED, submits=(Rejected("blockhash-not-found", "unknown blockhash"),))
    fate = await bench.settle()
    assert (fate.outcome, fate.reason) == ("rejected", "blockhash-not-found")
    assert bench.chain.looked_up == 0


async def test_a_refusal_of_bytes_that_may_have_been_sent_before_proves_nothing() -> None:
    bench = Bench(LANDED, submits=(Rejected("already-processed", ""),))
    assert (await bench.settle(resumed=True)).outcome == "landed"


async def test_promise_13_nothing_is_first_sent_past_the_deadline() -> None:
    bench = Bench(LANDED)
    fate = await bench.settle(deadline=0)
    assert fate.outcome == "unsent"
    assert bench.chain.sent == []


async def test_promise_13_a_resumed_attempt_past_its_deadline_is_only_looked_up() -> None:
    bench = Bench(*[ALIVE] * 10, EXPIRED)
    fate = await bench.settle(resumed=True, deadline=0)
    assert (fate.outcome, bench.chain.sent) == ("expired", [])


async def test_promise_10_a_worker_whose_lease_ran_out_sends_nothing() -> None:
    bench = Bench(LANDED)
    with pytest.raises(ClaimLostError):
        await bench.settle(may_send=lambda: False)
    assert bench.chain.sent == []


async def test_promise_10_a_lease_that_runs_out_while_waiting_stops_the_resending() -> None:
    bench = Bench(ALIVE)
    with pytest.raises(ClaimLostError):
        await bench.settle(may_send=lambda: bench.clock.monotonic() < 1)
    assert len(bench.chain.sent) == 1


async def test_an_adapter_that_breaks_while_sending_or_looking_up_leaves_the_fate_unknown() -> None:
    bench = Bench(LANDED)
    calls = {"submit": 0, "status": 0}

    async def submit(_: SignedSwap) -> SubmitAnswer:
        calls["submit"] += 1
        raise ZeroDivisionError

    async def status(_: object) -> list[SwapStatus]:
        calls["status"] += 1
        if calls["status"] < 3:
            raise KeyError("nonsense")
        return [LANDED]

    bench.venue.submit = submit  # type: ignore[assignment]
    bench.venue.status = status  # type: ignore[assignment]
    assert (await bench.settle()).outcome == "landed"
    assert calls == {"submit": 1, "status": 3}


async def test_building_signs_and_sends_nothing() -> None:
    bench = Bench(LANDED)
    signed = await bench.settlement.prepare(bench.venue, quote_of("v", SELL_ONE_SOL, 150), 1e9)
    assert signed.last_valid_height == 150
    assert bench.chain.sent == []


@pytest.mark.parametrize(
    ("error", "expected"), [(Slippage("moved"), Slippage), (KeyError("a bug"), BadAnswer), (TimeoutError(), Timeout)]
)
async def test_a_build_that_fails_does_so_with_an_error_of_the_closed_set(
    error: Exception, expected: type[Exception]
) -> None:
    bench = Bench(LANDED)
    bench.venue.on_build = raising(error)  # type: ignore[assignment]
    with pytest.raises(expected):
        await bench.settlement.prepare(bench.venue, quote_of("v", SELL_ONE_SOL, 150), 1e9)


async def test_promise_13_nothing_is_signed_past_the_deadline() -> None:
    bench = Bench(LANDED)

    async def slowly(_: object) -> bytes:
        bench.clock.advance(10)
        return b"late"

    bench.venue.on_build = slowly
    with pytest.raises(QuoteExpired):
        await bench.settlement.prepare(bench.venue, quote_of("v", SELL_ONE_SOL, 150), 5)
