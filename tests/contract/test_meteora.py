"""Meteora keeps the contract of adapters on recorded accounts, as far as nothing is sent."""

from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.meteora import Meteora
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.sealing import SimulatedSealer
from dexexec.settlement.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.testing.contract import CHECKS, Check, Verdict, report
from dexexec.testing.harness import Condition, Harness, World
from dexexec.venue import VenueContext
from tests import meteora as at
from tests.meteora import chain_of, pool_of

KINDS = {
    "both-fees": (pool_of(data=at.BOTH_FEES),),
    "compounding": (pool_of((USDC, WSOL), data=at.COMPOUNDING),),
    "dynamic-fee": (pool_of(data=at.DYNAMIC),),
    "range": (pool_of(data=at.RANGE),),
    "several": (pool_of(data=at.LINEAR), pool_of(number=2, data=at.EXPONENTIAL), pool_of(number=3)),
}
SENDING = {
    "fill-equals-quote",
    "submit-twice-is-one-swap",
    "unknown-signature-is-not-seen",
    "status-keeps-the-order",
    "bounds-hold-on-chain",
}
PAIRS = [(WSOL, USDC), (USDC, WSOL)]


@dataclass(frozen=True)
class RecordedHarness(Harness):
    """The contract's harness on recorded accounts."""

    kind: str = "both-fees"

    @asynccontextmanager
    async def world(self, condition: Condition = Condition.STILL) -> AsyncIterator[World]:
        """A fresh venue under `condition`."""
        clock, chain = ManualClock(), chain_of(*KINDS[self.kind])
        venue = self.venue_class(VenueContext(clock, self.tokens, chain, self.options(condition)))
        nothing: Sized = ()
        sealer = SimulatedSealer(SimulatedSigner())
        try:
            yield World(venue, clock, nothing, chain, sealer, self.tokens, *(self.pair or self.named_pair()))
        finally:
            await venue.aclose()


@pytest.mark.parametrize("check", [one for one in CHECKS if one.rule not in SENDING], ids=lambda check: check.rule)
@pytest.mark.parametrize("pair", PAIRS, ids=["sell", "buy"])
@pytest.mark.parametrize("kind", KINDS)
async def test_meteora_keeps_the_rule(check: Check, kind: str, pair: tuple[str, str]) -> None:
    await check(RecordedHarness(Meteora, pair=pair, kind=kind))


async def test_what_sends_is_skipped_and_nothing_else_is() -> None:
    results = await report(RecordedHarness(Meteora))
    assert {one.rule for one in results if one.verdict is Verdict.SKIPPED} == SENDING
    assert {one.rule for one in results if one.verdict is Verdict.FAIL} == set()
