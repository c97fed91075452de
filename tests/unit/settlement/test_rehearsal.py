"""Rehearsals: small swaps in both directions that are checked and never signed."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from dexexec.domain.quote import Fill, Quote, SwapRequest
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.settlement import rehearsal
from dexexec.settlement.rehearsal import TIMES, Rehearsal
from dexexec.testing.clock import ManualClock
from dexexec.venue import Capabilities, InsufficientFunds, NoRoute, VenueError
from tests.support.swap_transactions import BLOCKHASH, quote


@dataclass
class Stage:
    """A venue, a chain and a wallet that record what is done; `lacks` is a mint of which the wallet has nothing."""

    programs: frozenset[str] = frozenset({"program"})
    lacks: str = ""
    pool: VenueError | None = None
    done: list[tuple[str, Any]] = field(default_factory=list)
    name = "acme"
    payer = "wallet"

    def __post_init__(self) -> None:
        self.capabilities = Capabilities(network="solana")
        self.clock = ManualClock()

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        assert deadline > self.clock.monotonic()
        if self.pool is not None:
            raise self.pool
        self.done.append(("quote", (request.mint_in, request.amount)))
        return quote(request.mint_in, request.mint_out)

    async def blockhash(self) -> Blockhash:
        return BLOCKHASH

    async def build(self, quoted: Quote, payer: str, blockhash: Blockhash) -> SwapInstructions:
        assert (payer, blockhash) == (self.payer, BLOCKHASH)
        return SwapInstructions((), blockhash)

    async def simulate(self, venue: Any, quoted: Quote, unsigned: Any, deadline: float, attempt: Any) -> Fill:
        if quoted.request.mint_in == self.lacks:
            raise InsufficientFunds("nothing there")
        self.done.append(("simulate", attempt.order_id))
        return Fill(1, 1, 0, 1)

    async def rehearse(self, network: str = "solana") -> list[tuple[str, Any]]:
        """What one call does."""
        self.done = []
        chains: dict[str, Any] = {network: self}
        if not hasattr(self, "rehearsal"):
            self.rehearsal = Rehearsal(chains, chains, Tokens(KNOWN), self.clock, slippage_bps=50)
        await self.rehearsal.rehearse(self, (WSOL, USDC))  # type: ignore[arg-type]
        return [one for kind, one in self.done if kind == "quote"]


async def test_a_new_venue_is_rehearsed_several_times_in_each_direction_and_then_once() -> None:
    on = Stage()
    assert await on.rehearse() == [(WSOL, 10**6)] * TIMES + [(USDC, 10**3)] * TIMES
    orders = [one for kind, one in on.done if kind == "simulate"]
    assert len(set(orders)) == len(orders) == 2 * TIMES, "no memo twice"
    assert await on.rehearse() == [(WSOL, 10**6), (USDC, 10**3)]


async def test_the_direction_for_which_the_wallet_has_nothing_waits_for_the_next_round() -> None:
    on = Stage(lacks=USDC)
    assert (await on.rehearse()).count((USDC, 10**3)) == 1
    on.lacks = ""
    assert (USDC, 10**3) in await on.rehearse()


async def test_without_a_pool_nothing_is_waited_for() -> None:
    on = Stage(pool=NoRoute("no pool"))
    assert await on.rehearse() == []
    assert on.clock.monotonic() == 0
    on.pool = None
    assert len(await on.rehearse()) == 2 * TIMES


@pytest.mark.parametrize(("programs", "network"), [(frozenset(), "solana"), (frozenset({"program"}), "localnet")])
async def test_only_venues_with_programs_and_a_wallet_are_rehearsed(programs: frozenset[str], network: str) -> None:
    on = Stage(programs)
    assert await on.rehearse(network) == []


async def test_a_venue_that_counts_its_quotes_is_not_rehearsed() -> None:
    on = Stage()
    on.capabilities = Capabilities(network="solana", metered=True)
    assert await on.rehearse() == []


async def test_between_two_rehearsals_there_is_time_for_what_was_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "PAUSE_SECONDS", 3.0)
    on = Stage()
    await on.rehearse()
    assert on.clock.monotonic() == pytest.approx(2 * (TIMES - 1) * 3.0)
