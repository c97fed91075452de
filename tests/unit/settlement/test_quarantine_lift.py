"""A quarantine ends by itself when simulated swaps equal the venue's quotes, in every mode, and not before."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dexexec.domain.program_version import Deployment
from dexexec.domain.quote import Fill, Mode, Quote, SwapRequest
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.feed.quarantine_watch import QuarantineWatch
from dexexec.settlement.quarantine_lift import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, QuarantineLift
from dexexec.settlement.quote_proof import SHARES, TRIES, QuoteProof, Unproven
from dexexec.testing.clock import ManualClock
from dexexec.venue import Capabilities, InsufficientFunds, NoRoute, Slippage, VenueError
from tests.support.fakes.program_versions import MemoryProgramVersions
from tests.support.swap_transactions import BLOCKHASH, quote

SLOT = 7
OLD = Deployment(venue="acme", program="program", sha256="old", mark="1", slot=10)
NEW = replace(OLD, sha256="new", mark="2", slot=20)


@dataclass
class Upgraded:
    """A venue whose program was upgraded: `moves` is what its swaps move more than was quoted, by mode, and `fails`
    what a swap raises, by the mint that is sold. `slots` is how far the simulation is behind the quote."""

    moves: dict[Mode, int] = field(default_factory=dict)
    fails: dict[str, VenueError] = field(default_factory=dict)
    slots: int = 0
    settles_after: int = 0
    modes: frozenset[Mode] = frozenset(Mode)
    simulated: list[SwapRequest] = field(default_factory=list)
    broken: Exception | None = None
    lines: list[tuple[Any, ...]] = field(default_factory=list)
    name = "acme"
    payer = "wallet"

    def __post_init__(self) -> None:
        self.capabilities = Capabilities(self.modes, network="solana")
        self.clock = ManualClock()
        self.record = MemoryProgramVersions()
        self.watch = QuarantineWatch(self.record, self.clock)
        networks: dict[str, Any] = {"solana": self}
        self.proof = QuoteProof(networks, networks, Tokens(KNOWN), self.clock, slippage_bps=50)
        venues: dict[str, Any] = {"acme": self}
        self.lift = QuarantineLift(
            self.watch, venues, self.proof, self.record, self.clock, observer=self, pair=(WSOL, USDC)
        )

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        if self.broken is not None:
            raise self.broken
        return replace(quote(request.mint_in, request.mint_out), request=request, context_slot=SLOT)

    async def blockhash(self) -> Blockhash:
        return BLOCKHASH

    async def build(self, quoted: Quote, payer: str, blockhash: Blockhash) -> SwapInstructions:
        return SwapInstructions((), blockhash)

    async def simulate(self, venue: Any, quoted: Quote, unsigned: Any, deadline: float, attempt: Any) -> Fill:
        request = quoted.request
        if request.mint_in in self.fails:
            raise self.fails[request.mint_in]
        self.simulated.append(request)
        more = self.moves.get(request.mode, 0) if len(self.simulated) > self.settles_after else 1
        return Fill(quoted.amount_in, quoted.amount_out + more, 0, SLOT + self.slots)

    def quotes_confirmed(self, venue: str, program: str, swaps: int) -> None:
        self.lines.append(("confirmed", swaps))

    def quotes_not_confirmed(self, venue: str, program: str, why: str) -> None:
        self.lines.append(("not confirmed", why))

    async def check(self) -> int:
        venue: Any = self
        return await self.proof.check(venue, (WSOL, USDC))

    async def run(self, seconds: float) -> None:
        """Lets the lift run for so long, from a quarantine on."""
        task = asyncio.create_task(self.lift.run())
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            await self.clock.sleep(0.5)
            for _ in range(20):
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def quarantine(self) -> None:
        await self.record.seen("genesis", OLD)
        await self.record.seen("genesis", NEW)
        await self.watch.look()


async def test_every_mode_direction_and_size_is_compared() -> None:
    venue = Upgraded()
    assert await venue.check() == len(SHARES) * 4
    kinds = {(request.mint_in, request.mode) for request in venue.simulated}
    assert kinds == {(mint, mode) for mint in (WSOL, USDC) for mode in Mode}
    assert len({request.amount for request in venue.simulated if request.mint_in == WSOL}) > 1


async def test_a_difference_of_the_same_slot_is_the_programs() -> None:
    venue = Upgraded({Mode.EXACT_OUT: -1})
    with pytest.raises(Unproven, match=r"exactOut of .*: quoted \d+ for \d+, simulated") as unproven:
        await venue.check()
    assert unproven.value.conclusive
    assert len([request for request in venue.simulated if request.mode is Mode.EXACT_OUT]) == 1


async def test_a_difference_of_two_slots_may_be_another_swap_and_is_compared_again() -> None:
    venue = Upgraded(slots=1, settles_after=2)
    assert await venue.check() == len(SHARES) * 4
    restless = Upgraded({Mode.EXACT_IN: -1}, slots=1)
    with pytest.raises(Unproven, match="its pools change too often to compare") as unproven:
        await restless.check()
    assert not unproven.value.conclusive
    assert len(restless.simulated) == TRIES


async def test_one_direction_is_enough_where_the_wallet_or_the_pool_lacks_the_other() -> None:
    for error in (InsufficientFunds("no USDC"), NoRoute("too small")):
        assert await Upgraded(fails={USDC: error}).check() == len(SHARES) * 2
    with pytest.raises(Unproven, match=r"no swap could be simulated with exactIn, exactOut \(.*none"):
        await Upgraded(fails={USDC: NoRoute("none"), WSOL: InsufficientFunds("no SOL")}).check()


async def test_a_swap_that_the_new_program_refuses_confirms_nothing() -> None:
    with pytest.raises(Unproven, match=r"a simulated swap failed .*: moved"):
        await Upgraded(fails={USDC: Slippage("moved")}).check()


async def test_a_venue_whose_swaps_nobody_can_simulate_stays_in_quarantine() -> None:
    venue = Upgraded()
    venue.capabilities = Capabilities(network="elsewhere")
    with pytest.raises(Unproven, match="no swap can be simulated"):
        await venue.check()


async def test_a_quarantine_ends_by_itself_when_the_quotes_are_confirmed() -> None:
    venue = Upgraded()
    await venue.quarantine()
    assert venue.watch.refusal("acme")
    await venue.run(1)
    assert venue.watch.refusal("acme") == ""
    assert venue.lines == [("confirmed", len(SHARES) * 4)]


async def test_a_difference_is_reported_once_and_compared_ever_less_often() -> None:
    venue = Upgraded({Mode.EXACT_IN: -1})
    await venue.quarantine()
    await venue.run(4 * LONGEST_PAUSE_SECONDS)
    assert "simulated" in venue.watch.refusal("acme")
    assert len(venue.lines) == 1
    # 5, 10, 20, 40, 80, 120, 120 seconds apart.
    assert 7 <= len(venue.simulated) <= 10
    venue.moves.clear()
    await venue.run(LONGEST_PAUSE_SECONDS + 5)
    assert venue.watch.refusal("acme") == ""


async def test_another_upgrade_is_compared_at_once() -> None:
    venue = Upgraded({Mode.EXACT_IN: -1})
    await venue.quarantine()
    await venue.run(10 * FIRST_PAUSE_SECONDS)
    venue.moves.clear()
    await venue.record.seen("genesis", replace(NEW, sha256="newer", slot=30))
    await venue.watch.look()
    await venue.run(3)
    assert venue.watch.refusal("acme") == ""


async def test_a_crash_of_the_adapter_or_of_postgres_leaves_the_venue_in_quarantine() -> None:
    venue = Upgraded(broken=ZeroDivisionError("adapter"))
    await venue.quarantine()
    await venue.run(3)
    assert venue.lines == [("not confirmed", "the adapter failed: ZeroDivisionError: adapter")]
    assert venue.watch.refusal("acme")
    venue.broken = None
    venue.record.down = True
    await venue.run(2 * FIRST_PAUSE_SECONDS)
    assert venue.watch.refusal("acme")
    venue.record.down = False
    await venue.run(2 * FIRST_PAUSE_SECONDS)
    assert venue.watch.refusal("acme") == ""


async def test_a_closed_program_and_a_venue_that_is_not_here_are_left_alone() -> None:
    venue = Upgraded()
    await venue.record.seen("genesis", OLD)
    await venue.record.seen("genesis", replace(OLD, sha256="", slot=0))
    await venue.record.seen("genesis", replace(OLD, venue="other"))
    await venue.record.seen("genesis", replace(NEW, venue="other"))
    await venue.watch.look()
    await venue.run(5)
    assert (venue.simulated, venue.lines) == ([], [])
    assert venue.watch.refusal("acme")
    assert venue.watch.refusal("other")
