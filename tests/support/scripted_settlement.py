"""A settlement whose chain and venue answer from a script, for the unit tests of `dexexec.settlement`."""

from collections.abc import Callable, Mapping

from dexexec.domain.quote import Fill
from dexexec.domain.swap import (
    Accepted,
    FailedOnChain,
    Landed,
    NotSeen,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
)
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.venue import Network
from tests.support.scripted import SELL_ONE_SOL, ScriptedChain, ScriptedVenue, quote_of

SIGNED = SignedSwap(signature="sig", payload=b"bytes", last_valid_height=150, network=Network.SIMULATED)
FILL = Fill(10, 20, 5_000, 7)
MOVED = {SELL_ONE_SOL.mint_in: -10, SELL_ONE_SOL.mint_out: 20}
QUOTE = quote_of("v", SELL_ONE_SOL, 150)
LANDED = Landed(MOVED, 5_000, 7, finalized=True)
CONFIRMED = Landed(MOVED, 5_000, 7, finalized=False)
FAILED = FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=True)
ALIVE = NotSeen(height=100, history=True, node="n", slot=130)
EXPIRED = NotSeen(height=151, history=True, node="n", slot=190)
NONE: Mapping[str, str] = {}


class ScriptedSettlement:
    """A settlement on a scripted chain. Its clock advances only while something waits for it."""

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
        earlier_signatures: tuple[str, ...] = (),
        age: float = 60,
    ) -> SettlementResult:
        signed_at = self.clock.monotonic() - age
        pending = PendingAttempt(
            signed=SIGNED,
            request=SELL_ONE_SOL,
            deadline=deadline,
            resumed=resumed,
            earlier_signatures=earlier_signatures,
            venue=self.venue,
            signed_at=signed_at,
        )
        return await self.settlement.settle(pending, may_send)
