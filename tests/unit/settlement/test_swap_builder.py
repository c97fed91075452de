"""Building and sealing a quote: what is not signed, and how faults of a venue are reported."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.pace import UNKNOWN_PACE
from dexexec.domain.prepared_from import PreparedFrom
from dexexec.domain.quote import Quote
from dexexec.domain.swap import (
    Blockhash,
    SignedSwap,
    UnsignedSwap,
)
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.sealing import Checked, Sealed
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.settlement.swap_builder import OLDEST_SLOTS
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, Network, QuoteExpired, Slippage, Timeout
from tests.support.attempts import an_attempt
from tests.support.scripted import SELL_ONE_SOL, raising
from tests.support.scripted_settlement import (
    LANDED,
    QUOTE,
    ScriptedSettlement,
)
from tests.support.simulated_swaps import simulated_swap


class Panic(BaseException):
    """As the panics of libraries in Rust are: no `Exception`."""


SWAP = simulated_swap(
    venue="v",
    amount_in=QUOTE.amount_in,
    amount_out=QUOTE.amount_out,
    min_out=QUOTE.min_out,
    max_in=QUOTE.max_in,
    blockhash="recent",
)


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(), Panic(), asyncio.CancelledError()], ids=repr)
async def test_any_exception_while_building_becomes_an_error_of_the_venue(error: BaseException) -> None:
    scripted = ScriptedSettlement(LANDED)
    scripted.venue.on_build = raising(error)  # type: ignore[assignment]
    with pytest.raises(BadAnswer, match="the adapter"):
        await scripted.settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))


async def test_a_venue_cannot_change_the_request_that_is_signed() -> None:
    scripted, quote = ScriptedSettlement(LANDED), replace(QUOTE, request=replace(SELL_ONE_SOL))

    async def build(given: Quote) -> bytes:
        object.__setattr__(given.request, "mint_out", "another")
        return SWAP.encode()

    scripted.venue.on_build = build
    await scripted.settlement.prepare(scripted.venue, quote, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert quote.request == SELL_ONE_SOL


async def test_promise_13_a_quote_that_is_looser_than_the_orders_bound_is_not_even_built() -> None:
    scripted = ScriptedSettlement(LANDED)
    bound = Bound(QUOTE.min_out + 1, QUOTE.max_in)
    with pytest.raises(GuardError) as caught:
        await scripted.settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=bound)
    assert (caught.value.rule, scripted.venue.built) == (Rule.BOUND, 0)


@pytest.mark.parametrize("changes", [{"min_out": QUOTE.min_out - 1}, {"max_in": QUOTE.max_in + 1}])
async def test_promise_13_bytes_with_looser_bounds_than_the_quotes_are_not_signed(changes: dict[str, int]) -> None:
    scripted = ScriptedSettlement(LANDED, guarded=True)

    async def build(quote: Quote) -> bytes:
        for name, value in changes.items():  # an adapter that spoils what it was handed, too
            object.__setattr__(quote, name, value)
        return replace(SWAP, min_out=quote.min_out, max_in=quote.max_in).encode()

    scripted.venue.on_build = build
    with pytest.raises(GuardError) as caught:
        await scripted.settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert (caught.value.rule, scripted.chain.sent) == (Rule.BOUND, [])


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
async def test_bytes_that_the_simulated_chain_refuses_or_that_differ_from_the_quote_are_not_signed(
    message: bytes,
) -> None:
    scripted = ScriptedSettlement(LANDED, guarded=True)

    async def build(_: Quote) -> bytes:
        return message

    scripted.venue.on_build = build
    with pytest.raises((BadAnswer, GuardError)):
        await scripted.settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert scripted.chain.sent == []


async def test_promise_19_a_dry_run_checks_what_a_signature_would_need_and_signs_nothing() -> None:
    scripted = ScriptedSettlement(LANDED)
    looser = Bound(QUOTE.min_out + 1, QUOTE.max_in)
    with pytest.raises(GuardError):
        await scripted.settlement.simulate(scripted.venue, QUOTE, 1e9, an_attempt(), bound=looser)
    scripted.venue.on_build = raising(KeyError("a bug"))  # type: ignore[assignment]
    with pytest.raises(BadAnswer):
        await scripted.settlement.simulate(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert scripted.chain.sent == []


async def test_a_signed_swap_names_its_network_and_chain() -> None:
    scripted = ScriptedSettlement()
    settlement = scripted.settling_on(scripted.chain, {Network.SIMULATED: "here"})
    sealed = await settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert (sealed.signed.network, sealed.signed.genesis) == (Network.SIMULATED, "here")


async def test_building_sends_nothing() -> None:
    scripted = ScriptedSettlement(LANDED)
    sealed = await scripted.settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    assert sealed.signed.last_valid_height == 150
    assert scripted.chain.sent == []


@pytest.mark.parametrize(
    ("error", "expected"), [(Slippage("moved"), Slippage), (KeyError("a bug"), BadAnswer), (TimeoutError(), Timeout)]
)
async def test_a_build_that_fails_does_so_with_an_error_of_the_closed_set(
    error: Exception, expected: type[Exception]
) -> None:
    scripted = ScriptedSettlement(LANDED)
    scripted.venue.on_build = raising(error)  # type: ignore[assignment]
    with pytest.raises(expected):
        await scripted.settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))


async def test_a_swap_for_another_blockhash_than_the_chains_is_not_signed() -> None:
    scripted = ScriptedSettlement(LANDED)

    async def build(*_: object) -> UnsignedSwap:
        return UnsignedSwap(b"message", Blockhash("recent", 149))

    scripted.venue.build = build  # type: ignore[assignment]
    with pytest.raises(BadAnswer, match="another blockhash"):
        await scripted.settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))


async def test_promise_13_nothing_is_signed_past_the_deadline() -> None:
    scripted = ScriptedSettlement(LANDED)

    async def slowly(_: object) -> bytes:
        scripted.clock.advance(10)
        return b"late"

    scripted.venue.on_build = slowly
    with pytest.raises(QuoteExpired):
        await scripted.settlement.prepare(scripted.venue, QUOTE, 5, an_attempt(), bound=Bound.of(QUOTE))


@dataclass
class SlowSigner:
    """A signer whose answer takes `seconds` of the manual clock."""

    clock: ManualClock
    seconds: float
    signer: SimulatedSigner = field(default_factory=SimulatedSigner)

    @property
    def payer(self) -> str:
        return self.signer.payer

    def sign(self, unsigned: UnsignedSwap) -> SignedSwap:
        self.clock.advance(self.seconds)
        return self.signer.sign(unsigned)


class KeptBlockhashSealer(SimulatedSealer):
    """Seals with a blockhash that was read `slots` before."""

    slots = 0

    async def sign(self, checked: Checked) -> Sealed:
        prepared = PreparedFrom(local=True, slot=1, blockhash_slots=self.slots)
        return replace(await super().sign(checked), prepared=prepared)


def slow_settlement(scripted: ScriptedSettlement, seconds: float, blockhash_slots: int = 0) -> Settlement:
    sealer = KeptBlockhashSealer(SlowSigner(scripted.clock, seconds), guarded=False)
    sealer.slots = blockhash_slots
    sealers = {Network.SIMULATED: sealer}
    return Settlement({Network.SIMULATED: scripted.chain}, sealers, scripted.clock, Observer(make_logger("critical")))


async def test_promise_13_bytes_that_were_signed_too_late_are_thrown_away() -> None:
    scripted = ScriptedSettlement(LANDED)
    bound = Bound.of(QUOTE)
    settlement = slow_settlement(scripted, UNKNOWN_PACE.seconds(OLDEST_SLOTS) + 1)
    with pytest.raises(SignerError, match="41 s") as caught:
        await settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=bound)
    assert caught.value.trouble is SignerTrouble.TOO_LATE
    settlement = slow_settlement(scripted, UNKNOWN_PACE.seconds(OLDEST_SLOTS))
    assert await settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=bound)


@pytest.mark.parametrize(("blockhash_slots", "seconds"), [(30, 28.0), (100, 0.0), (140, 0.0)])
async def test_the_age_of_a_blockhash_that_was_read_before_counts(blockhash_slots: int, seconds: float) -> None:
    scripted = ScriptedSettlement(LANDED)
    settlement = slow_settlement(scripted, seconds, blockhash_slots)
    assert await settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))
    settlement = slow_settlement(scripted, seconds + 0.1, blockhash_slots)
    with pytest.raises(SignerError, match="too late"):
        await settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=Bound.of(QUOTE))


async def test_a_deadline_that_passes_while_the_signer_works_is_noticed() -> None:
    scripted = ScriptedSettlement(LANDED)
    settlement = slow_settlement(scripted, 5)
    deadline = scripted.clock.monotonic() + 5
    with pytest.raises(QuoteExpired, match="while the swap was signed"):
        await settlement.prepare(scripted.venue, QUOTE, deadline, an_attempt(), bound=Bound.of(QUOTE))
