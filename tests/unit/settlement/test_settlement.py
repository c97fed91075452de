"""Settlement: three ways out, each with its proof, and no way from unknown to failed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import (
    ALLOWANCE,
    SLOTS_PER_SECOND,
    VALID_FOR,
    Accepted,
    Blockhash,
    FailedOnChain,
    Landed,
    NotSeen,
    ProgramFailure,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
    UnsignedSwap,
    too_high,
)
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.errors import ClaimLostError
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.settlement import PendingAttempt, Settlement, SettlementResult
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, Capabilities, Network, QuoteExpired, Slippage, Timeout
from tests.support.attempts import an_attempt
from tests.support.scripted import SELL_ONE_SOL, ScriptedChain, ScriptedVenue, quote_of, raising

SIGNED = SignedSwap(signature="sig", payload=b"bytes", last_valid_height=150, network=Network.SIMULATED)
FILL = Fill(10, 20, 5_000, 7)
MOVED = {SELL_ONE_SOL.mint_in: -10, SELL_ONE_SOL.mint_out: 20}
QUOTE = quote_of("v", SELL_ONE_SOL, 150)
SWAP = SimulatedSwap(
    venue="v",
    mint_in=QUOTE.request.mint_in,
    mint_out=QUOTE.request.mint_out,
    amount_in=QUOTE.amount_in,
    amount_out=QUOTE.amount_out,
    min_out=QUOTE.min_out,
    max_in=QUOTE.max_in,
    exact_in=True,
    payer="p",
    blockhash="recent",
    nonce="n",
    fee=5_000,
)
LANDED = Landed(MOVED, 5_000, 7, finalized=True)
CONFIRMED = Landed(MOVED, 5_000, 7, finalized=False)
FAILED = FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=True)
ALIVE = NotSeen(height=100, history=True, node="n", slot=130)
EXPIRED = NotSeen(height=151, history=True, node="n", slot=190)
NONE: Mapping[str, str] = {}


class Panic(BaseException):
    """As the panics of libraries in Rust are: no `Exception`."""


class Unprintable(Slippage):
    """An error whose text is an error."""

    def __str__(self) -> str:
        raise RuntimeError


def raising_at_once(error: BaseException) -> Callable[..., object]:
    """A function, not a coroutine, that fails with `error`."""

    def fail(*_: object) -> object:
        raise error

    return fail


class Bench:
    """A settlement on a scripted chain, in time that only passes when something waits for it."""

    def __init__(
        self, *statuses: SwapStatus, submits: tuple[SubmitAnswer, ...] = (Accepted(),), guarded: bool = False
    ) -> None:
        self.clock, self._guarded = ManualClock(), guarded
        self.chain = ScriptedChain()
        self.chain.statuses, self.chain.submits = list(statuses), list(submits)
        self.venue = ScriptedVenue("v", self.clock, chain=self.chain)
        self.settlement = self.settling_on(self.chain)

    def settling_on(self, chain: ScriptedChain, genesis: Mapping[str, str] = NONE) -> Settlement:
        chains, sealers = (
            {Network.SIMULATED: chain},
            {Network.SIMULATED: SimulatedSealer(SimulatedSigner(), guarded=self._guarded)},
        )
        return Settlement(chains, sealers, self.clock, Observer(make_logger("critical")), genesis)

    async def settle(
        self,
        *,
        resumed: bool = False,
        deadline: float = 1e9,
        may_send: Callable[[], bool] = lambda: True,
        others: tuple[str, ...] = (),
        age: float = 60,
    ) -> SettlementResult:
        signed_at = self.clock.monotonic() - age
        pending = PendingAttempt(
            signed=SIGNED,
            request=SELL_ONE_SOL,
            deadline=deadline,
            resumed=resumed,
            others=others,
            venue=self.venue,
            signed_at=signed_at,
        )
        return await self.settlement.settle(pending, may_send)


async def test_a_swap_that_landed_is_a_fill_with_what_really_moved() -> None:
    result = await Bench(ALIVE, ALIVE, LANDED).settle()
    assert (result.outcome, result.fill) == ("landed", FILL)


async def test_a_swap_that_failed_on_chain_keeps_the_chains_reason() -> None:
    result = await Bench(FAILED).settle()
    assert (result.outcome, result.reason, result.fill) == ("failed", "slippage", None)
    assert result.proof["slot"] == 7


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("words", ["timeout", "429", "-32002: it would fail", "-32003: bad signature", "-32602"])
async def test_promise_5_no_answer_to_a_send_is_ever_a_failure(words: str, resumed: bool) -> None:
    bench = Bench(Unavailable("503"), ALIVE, LANDED, submits=(Unknown(words),))
    assert (await bench.settle(resumed=resumed)).outcome == "landed"


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
    result = await Bench(ALIVE, EXPIRED).settle()
    assert result.outcome == "expired"
    assert result.proof == {
        "signatures": ["sig"], "lastValidHeight": 150, "heightSeen": 151, "historySearched": True, "node": "n",
        "sends": 1,
    }  # fmt: skip


async def test_what_is_confirmed_is_told_with_its_fill_and_stays_open() -> None:
    bench = Bench(ALIVE, CONFIRMED)
    result = await bench.settle()
    assert (result.outcome, result.fill) == ("confirmed", FILL)
    assert result.proof == {"slot": 7, "finalized": False, "sends": 1}


async def test_a_failure_that_can_still_be_undone_is_no_failure_and_nothing_is_sent_meanwhile() -> None:
    seen = replace(FAILED, finalized=False)
    bench = Bench(*[seen] * 20, LANDED)
    assert (await bench.settle()).outcome == "landed"
    assert len(bench.chain.sent) == 1


async def test_the_history_is_searched_only_where_not_being_seen_would_mean_something() -> None:
    bench = Bench(*[ALIVE] * 5, EXPIRED)
    await bench.settle()
    assert (bench.chain.looked_up, bench.chain.searched) == (6, 1)


async def test_promise_5_a_height_that_no_chain_can_have_since_it_was_signed_proves_nothing() -> None:
    """All reports of a node may be consistent, and after a restart there is no earlier data about it."""
    slot_for_height = replace(EXPIRED, height=22_000_000)
    bench = Bench(*[slot_for_height] * 20, LANDED)
    assert (await bench.settle(resumed=True, age=3_600)).outcome == "landed"
    assert bench.chain.searched == 20
    assert (await Bench(slot_for_height).settle(resumed=True, age=5 * 86_400 + 3_600)).outcome == "expired"


@pytest.mark.parametrize("age", [0, 60, 86_400])
def test_only_what_is_faster_than_any_chain_is_too_high(age: float) -> None:
    most = ALLOWANCE + round(SLOTS_PER_SECOND * age)
    assert not too_high(replace(EXPIRED, height=most), VALID_FOR, age)
    assert too_high(replace(EXPIRED, height=most + 1), VALID_FOR, age)
    assert not too_high(EXPIRED, VALID_FOR, -age), "a clock that was set back delays no proof"


async def test_rule_4_no_signature_of_the_order_may_be_known_when_an_attempt_is_given_up() -> None:
    bench = Bench(EXPIRED, EXPIRED, EXPIRED)
    bench.chain.earlier = {"first": CONFIRMED}
    task = asyncio.ensure_future(bench.settle(others=("zeroth", "first")))
    while bench.chain.searched < 20:
        await asyncio.sleep(0)
    assert not task.done()
    bench.chain.earlier = {}
    result = await task
    assert (result.outcome, result.proof["signatures"]) == ("expired", ["sig", "zeroth", "first"])


EARLIER = EarlierLanding("first", FILL, finalized=True)


@pytest.mark.parametrize("ending", [EXPIRED, FAILED], ids=["expired", "failed"])
async def test_promise_5_what_ends_without_effect_tells_of_an_earlier_attempt_that_landed_as_soon_as_that_is_final(
    ending: SwapStatus,
) -> None:
    bench = Bench(ending)
    bench.chain.earlier = {"first": CONFIRMED}
    task = asyncio.ensure_future(bench.settle(others=("zeroth", "first")))
    while bench.chain.searched < 20:
        await asyncio.sleep(0)
    assert not task.done()
    bench.chain.earlier = {"first": LANDED}
    result = await task
    assert (result.outcome, result.fill) == ("expired" if ending is EXPIRED else "failed", None)
    assert result.earlier == (EARLIER,)


@pytest.mark.parametrize("landed", [CONFIRMED, LANDED], ids=["confirmed", "final"])
@pytest.mark.parametrize("earlier", [CONFIRMED, LANDED], ids=["earlier confirmed", "earlier final"])
async def test_promise_3_a_fill_tells_of_an_earlier_attempt_that_landed_as_well(
    landed: Landed, earlier: Landed
) -> None:
    bench = Bench(ALIVE, landed)
    bench.chain.earlier = {"first": earlier}
    result = await bench.settle(others=("zeroth", "first"))
    assert (result.outcome, result.fill) == ("landed" if landed.finalized else "confirmed", FILL)
    assert result.earlier == (replace(EARLIER, finalized=earlier.finalized),)


async def test_promise_3_a_fill_is_told_although_nobody_says_what_became_of_earlier_attempts() -> None:
    bench = Bench(LANDED)
    bench.chain.earlier = {"first": Unavailable("503")}
    result = await bench.settle(others=("first",))
    assert (result.outcome, result.earlier) == ("landed", ())


@pytest.mark.parametrize("resumed", [False, True])
async def test_promise_3_nothing_is_sent_again_once_an_earlier_attempt_is_seen_on_chain(resumed: bool) -> None:
    bench = Bench(*[ALIVE] * 30, EXPIRED)
    bench.chain.earlier = {"first": LANDED}
    assert (await bench.settle(resumed=resumed, others=("first",))).earlier == (EARLIER,)
    assert len(bench.chain.sent) == (0 if resumed else 1)


async def test_promise_5_earlier_attempts_are_looked_for_on_every_chain_and_silence_shows_none() -> None:
    bench, other = Bench(), ScriptedChain()
    settlement = Settlement(
        {Network.SIMULATED: bench.chain, Network.LOCALNET: other}, {}, bench.clock, Observer(make_logger("critical"))
    )
    assert await settlement.landed(["zeroth", "first"], SELL_ONE_SOL) == ()
    other.earlier = {"first": LANDED}
    assert await settlement.landed(["zeroth", "first"], SELL_ONE_SOL) == (EARLIER,)


async def test_the_venue_says_what_its_programs_failure_means() -> None:
    bench = Bench(
        replace(
            FAILED,
            code="program-error",
            failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005"),
        )
    )
    bench.venue.explain = (  # type: ignore[method-assign]
        lambda failure: Slippage("too little") if failure.custom == 6005 else None
    )
    assert (await bench.settle()).reason == "slippage"


async def test_the_same_bytes_are_sent_again_about_every_two_seconds_until_it_lands() -> None:
    bench = Bench(*[ALIVE] * 20, LANDED)
    await bench.settle()
    assert len(bench.chain.sent) > 2
    assert set(map(id, bench.chain.sent)) == {id(SIGNED)}
    assert bench.clock.monotonic() / len(bench.chain.sent) >= 1.5


async def test_what_the_last_send_was_answered_explains_why_nothing_landed() -> None:
    bench = Bench(EXPIRED, submits=(Unknown("node.example: Blockhash not found (-32002)"),))
    result = await bench.settle()
    assert (result.outcome, result.reason) == ("expired", "attempt-expired")
    assert "Blockhash not found" in result.detail


async def test_promise_13_nothing_is_first_sent_past_the_deadline() -> None:
    bench = Bench(LANDED)
    result = await bench.settle(deadline=0)
    assert result.outcome == "unsent"
    assert bench.chain.sent == []


async def test_promise_13_a_resumed_attempt_past_its_deadline_is_only_looked_up() -> None:
    bench = Bench(*[ALIVE] * 10, EXPIRED)
    result = await bench.settle(resumed=True, deadline=0)
    assert (result.outcome, bench.chain.sent) == ("expired", [])


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


async def test_a_chain_that_breaks_while_sending_or_looking_up_leaves_the_fate_unknown() -> None:
    bench = Bench(LANDED)
    calls = {"submit": 0, "status": 0}

    async def submit(_: SignedSwap) -> SubmitAnswer:
        calls["submit"] += 1
        raise ZeroDivisionError

    async def status(_: object, *, history: bool = False) -> list[SwapStatus]:
        calls["status"] += 1
        if calls["status"] < 3:
            raise KeyError("nonsense")
        return [LANDED]

    bench.chain.submit = submit  # type: ignore[assignment,method-assign]
    bench.chain.status = status  # type: ignore[assignment,method-assign]
    assert (await bench.settle()).outcome == "landed"
    assert calls == {"submit": 1, "status": 3}


async def test_a_venue_is_asked_neither_to_send_nor_what_became_of_its_swap() -> None:
    bench = Bench(ALIVE, EXPIRED)
    asked: list[str] = []

    def lie(name: str) -> Callable[..., object]:
        return lambda *_, **__: asked.append(name)

    for name in ("submit", "status", "quote", "build"):
        setattr(bench.venue, name, lie(name))
    bench.venue.capabilities = Capabilities(network="the moon")
    result = await bench.settle()
    assert (result.outcome, asked, len(bench.chain.sent)) == ("expired", [], 1)


@pytest.mark.parametrize(
    "explain",
    [
        raising_at_once(ZeroDivisionError()),
        raising_at_once(Panic()),
        lambda _: "words",
        lambda _: Unprintable(),
        lambda _: object(),
    ],
    ids=["raises", "panics", "text", "unprintable", "object"],
)
async def test_nothing_that_a_venue_says_of_a_failure_keeps_it_from_being_told(explain: Any) -> None:
    bench = Bench(replace(FAILED, failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005")))
    bench.venue.explain = explain  # type: ignore[method-assign]
    result = await bench.settle()
    assert (result.outcome, result.reason) == ("failed", "slippage")
    assert result.detail.removeprefix("Unprintable ").strip("()") == "moved"


async def test_a_reason_of_a_venues_own_making_is_told_as_the_one_that_it_is_a_kind_of() -> None:
    class Greed(Slippage):
        code = "nul\0 and worse"

    bench = Bench(
        replace(
            FAILED,
            code="program-error",
            failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005"),
        )
    )
    bench.venue.explain = lambda failure: Greed("too little")  # type: ignore[method-assign]
    assert (await bench.settle()).reason == "slippage"


async def test_a_failure_of_a_venue_that_is_gone_keeps_the_chains_reason() -> None:
    bench = Bench(replace(FAILED, failure=ProgramFailure(index=2, program="program", custom=6005, text="custom 6005")))
    bench.venue = None  # type: ignore[assignment]
    assert (await bench.settle()).reason == "slippage"


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(), Panic(), asyncio.CancelledError()], ids=repr)
async def test_whatever_a_venue_raises_while_building_is_an_error_of_that_venue(error: BaseException) -> None:
    bench = Bench(LANDED)
    bench.venue.on_build = raising(error)  # type: ignore[assignment]
    with pytest.raises(BadAnswer, match="the adapter"):
        await bench.settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))


async def test_what_a_venue_does_to_the_request_of_its_quote_does_not_change_what_is_signed() -> None:
    bench, quote = Bench(LANDED), replace(QUOTE, request=replace(SELL_ONE_SOL))

    async def build(given: Quote) -> bytes:
        object.__setattr__(given.request, "mint_out", "another")
        return SWAP.encode()

    bench.venue.on_build = build
    await bench.settlement.prepare(bench.venue, quote, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert quote.request == SELL_ONE_SOL


async def test_promise_13_a_quote_that_is_looser_than_the_orders_bound_is_not_even_built() -> None:
    bench = Bench(LANDED)
    bound = Bound(QUOTE.min_out + 1, QUOTE.max_in)
    with pytest.raises(GuardError) as caught:
        await bench.settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=bound)
    assert (caught.value.rule, bench.venue.built) == (Rule.BOUND, 0)


@pytest.mark.parametrize("changes", [{"min_out": QUOTE.min_out - 1}, {"max_in": QUOTE.max_in + 1}])
async def test_promise_13_bytes_with_looser_bounds_than_the_quotes_are_not_signed(changes: dict[str, int]) -> None:
    bench = Bench(LANDED, guarded=True)

    async def build(quote: Quote) -> bytes:
        for name, value in changes.items():  # an adapter that spoils what it was handed, too
            object.__setattr__(quote, name, value)
        return replace(SWAP, min_out=quote.min_out, max_in=quote.max_in).encode()

    bench.venue.on_build = build
    with pytest.raises(GuardError) as caught:
        await bench.settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert (caught.value.rule, bench.chain.sent) == (Rule.BOUND, [])


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\x00",
        replace(SWAP, blockhash="another").encode(),
        replace(SWAP, mint_out=SWAP.mint_in).encode(),
        replace(SWAP, amount_in="1").encode(),  # type: ignore[arg-type]
        replace(SWAP, landing_ms=-1).encode(),
    ],
)
async def test_what_the_simulated_chain_would_not_take_or_nobody_quoted_is_found_before_it_is_signed(
    message: bytes,
) -> None:
    bench = Bench(LANDED, guarded=True)

    async def build(_: Quote) -> bytes:
        return message

    bench.venue.on_build = build
    with pytest.raises((BadAnswer, GuardError)):
        await bench.settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert bench.chain.sent == []


async def test_a_swap_that_stands_still_says_what_it_waits_for_and_one_that_lands_at_once_does_not() -> None:
    told: list[Waiting] = []

    async def hear(waiting: Waiting) -> None:
        told.append(waiting)

    away = Unavailable("all nodes are away")
    bench = Bench(*[away] * 20, *[ALIVE] * 20, LANDED)
    pending = PendingAttempt(signed=SIGNED, request=SELL_ONE_SOL, deadline=1e9, resumed=False)
    await bench.settlement.settle(pending, lambda: True, hear)
    assert [one.reason for one in told] == [WaitsFor.NODE, WaitsFor.LANDING]
    told.clear()
    await Bench(ALIVE, LANDED).settlement.settle(pending, lambda: True, hear)
    assert told == []


async def test_a_swap_that_no_node_proves_gone_says_that_it_waits_for_proof() -> None:
    told: list[Waiting] = []

    async def hear(waiting: Waiting) -> None:
        told.append(waiting)

    class NoHistory(ScriptedChain):
        async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
            if history:
                return [Unavailable("n: transaction history is not available from this node")] * len(signatures)
            return await super().status(signatures, history=history)

    bench = Bench()
    bench.chain = NoHistory()
    bench.chain.statuses = [*[EXPIRED] * 20, LANDED]
    bench.settlement = bench.settling_on(bench.chain)
    await bench.settlement.settle(
        PendingAttempt(signed=SIGNED, request=SELL_ONE_SOL, deadline=1e9, resumed=False), lambda: True, hear
    )
    assert [one.reason for one in told] == [WaitsFor.PROOF]
    assert "history is not available" in told[0].detail


@pytest.mark.parametrize(
    ("network", "genesis", "why"),
    [
        (Network.SIMULATED, "here", ""),
        (Network.SIMULATED, "", ""),
        (Network.SIMULATED, "elsewhere", "genesis elsewhere, and the nodes of simulated are of here"),
        (Network.SOLANA, "here", "network solana, which no enabled adapter needs"),
        ("", "", "which no enabled adapter needs"),
    ],
)
def test_promise_5_a_swap_of_another_chain_is_not_looked_up_on_this_one(network: str, genesis: str, why: str) -> None:
    """Its signature is not known here, and the height is another chain's: both together would look like proof."""
    bench = Bench()
    settlement = bench.settling_on(bench.chain, {Network.SIMULATED: "here"})
    assert why in settlement.out_of_reach(replace(SIGNED, network=network, genesis=genesis))
    assert bool(settlement.out_of_reach(replace(SIGNED, network=network, genesis=genesis))) is bool(why)


async def test_what_is_signed_names_its_network_and_chain() -> None:
    bench = Bench()
    settlement = bench.settling_on(bench.chain, {Network.SIMULATED: "here"})
    sealed = await settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert (sealed.signed.network, sealed.signed.genesis) == (Network.SIMULATED, "here")


async def test_building_signs_and_sends_nothing() -> None:
    bench = Bench(LANDED)
    sealed = await bench.settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert sealed.signed.last_valid_height == 150
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
        await bench.settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))


async def test_a_swap_for_another_blockhash_than_the_chains_is_not_signed() -> None:
    bench = Bench(LANDED)

    async def build(*_: object) -> UnsignedSwap:
        return UnsignedSwap(b"message", Blockhash("recent", 149))

    bench.venue.build = build  # type: ignore[assignment]
    with pytest.raises(BadAnswer, match="another blockhash"):
        await bench.settlement.prepare(bench.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))


async def test_promise_13_nothing_is_signed_past_the_deadline() -> None:
    bench = Bench(LANDED)

    async def slowly(_: object) -> bytes:
        bench.clock.advance(10)
        return b"late"

    bench.venue.on_build = slowly
    with pytest.raises(QuoteExpired):
        await bench.settlement.prepare(bench.venue, QUOTE, 5, an_attempt(), bound=Bound.of(QUOTE))
