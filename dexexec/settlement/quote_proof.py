"""Compares a venue's quotes with simulations of their swaps, on the programs that are deployed now.

Nothing is signed, recorded or sent. It decides whether a venue whose program was upgraded gets orders again.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dexexec.clock import Clock
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import Tokens
from dexexec.settlement.sealing import SwapSimulator
from dexexec.venue import AnyVenue, Chain, InsufficientFunds, NoRoute, VenueError

SHARES = (1_000, 37_000)
"""A swap moves one part in so many of a whole token: sizes that nearly every wallet can pay for."""
SECONDS = 10.0
"""For one swap."""
TRIES = 5
"""How often a swap is compared while its pool changes between the quote and the simulation."""
PAUSE_SECONDS = 0.5


class Unproven(Exception):  # noqa: N818 - a result with its reason, which ends the comparison
    """The quotes are not confirmed; the text says why. `conclusive`: a simulated swap differs from its quote."""

    def __init__(self, why: str, *, conclusive: bool = False) -> None:
        super().__init__(why)
        self.conclusive = conclusive


@dataclass(frozen=True, slots=True)
class _Case:
    mint_in: str
    mint_out: str
    mode: Mode
    amount: int

    def __str__(self) -> str:
        return f"{self.mode} of {self.amount} from {self.mint_in} to {self.mint_out}"


class QuoteProof:
    """Compares on `chains`, with swaps of the default wallet by `simulators`, both by network."""

    def __init__(
        self,
        chains: Mapping[str, Chain],
        simulators: Mapping[str, SwapSimulator],
        tokens: Tokens,
        clock: Clock,
        *,
        slippage_bps: int,
    ) -> None:
        self._chains = chains
        self._simulators = simulators
        self._tokens = tokens
        self._clock = clock
        self._slippage_bps = slippage_bps

    async def check(self, venue: AnyVenue, pair: tuple[str, str]) -> int:
        """Returns how many simulated swaps were equal to their quotes, if all were: of each mode, in at least one
        direction. Raises `Unproven`."""
        if venue.capabilities.network not in self._simulators:
            raise Unproven("no swap can be simulated on its network")
        equal = dict.fromkeys(sorted(venue.capabilities.modes), 0)
        skipped = ""
        for case in self._cases(venue, pair):
            try:
                await self._compare(venue, case)
            except (InsufficientFunds, NoRoute) as error:
                # The wallet lacks the token, or no pool has the liquidity: the other direction decides.
                skipped = f"{case}: {error}"
            except VenueError as error:
                raise Unproven(f"a simulated swap failed ({case}): {error}") from error
            else:
                equal[case.mode] += 1
        if lacking := [mode for mode, count in equal.items() if not count]:
            raise Unproven(f"no swap could be simulated with {', '.join(lacking)} ({skipped})")
        return sum(equal.values())

    def _cases(self, venue: AnyVenue, pair: tuple[str, str]) -> Iterator[_Case]:
        for mint_in, mint_out in (pair, pair[::-1]):
            for mode in sorted(venue.capabilities.modes):
                counted = self._tokens.get(mint_in if mode is Mode.EXACT_IN else mint_out)
                for share in SHARES:
                    yield _Case(mint_in, mint_out, mode, max(1, 10 ** (counted.decimals if counted else 0) // share))

    async def _compare(self, venue: AnyVenue, case: _Case) -> None:
        """Raises `Unproven` unless the simulated swap is equal to its quote, and `VenueError`."""
        network = venue.capabilities.network
        simulator = self._simulators[network]
        request = SwapRequest(
            mint_in=case.mint_in,
            mint_out=case.mint_out,
            amount=case.amount,
            mode=case.mode,
            slippage_bps=self._slippage_bps,
        )
        seen = ""
        for _ in range(TRIES):
            until = self._clock.monotonic() + SECONDS
            quote = await venue.quote(request, until)
            unsigned = await venue.build(quote, simulator.payer, await self._chains[network].blockhash())
            fill = await simulator.simulate(venue, quote, unsigned, until, AttemptId(uuid.uuid4(), 1))
            quoted, moved = (quote.amount_in, quote.amount_out), (fill.amount_in, fill.amount_out)
            if moved == quoted:
                return
            seen = f"{case}: quoted {quoted[0]} for {quoted[1]}, simulated {moved[0]} for {moved[1]}"
            # Of one slot, nothing but the program can have made the difference.
            if fill.slot == quote.context_slot:
                raise Unproven(seen, conclusive=True)
            await self._clock.sleep(PAUSE_SECONDS)
        raise Unproven(f"its pools change too often to compare ({seen})")
