"""Builds a swap from a quote, and has it sealed, or only simulated. Nothing is sent: the caller records the signed
bytes first."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TypeVar

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.bound import Bound
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import VALID_FOR
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.sealing import Checked, Sealed, Sealer, SwapSimulator
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.status_lookup import CALL_TIMEOUT
from dexexec.settlement.wallet_sealers import Wallets
from dexexec.venue import (
    AnyVenue,
    BadAnswer,
    Chain,
    QuoteExpired,
    Slippage,
    Timeout,
    Unsigned,
    Unsupported,
    VenueError,
    pace_of,
)

ResultT = TypeVar("ResultT")
SealerT = TypeVar("SealerT")

OLDEST_SLOTS = VALID_FOR * 2 // 3
"""How old a message may be when it is recorded: a third of its blockhash's life is left to land it. Where nodes limit
requests, a swap waits for its turns while it is built, and to begin again would only make more requests."""


class SwapBuilder:
    """Builds and seals for the chains of the enabled networks with `wallets`. `genesis` has each chain's genesis hash,
    if any. Dry runs need no sealer."""

    def __init__(
        self,
        *,
        chains: Mapping[str, Chain],
        wallets: Wallets,
        clock: Clock,
        observer: Observer,
        genesis: Mapping[str, str],
    ) -> None:
        self._chains = chains
        self._wallets = wallets
        self._clock = clock
        self._observer = observer
        self._genesis = genesis

    async def build(
        self,
        venue: AnyVenue,
        quote: Quote,
        deadline: float,
        attempt: AttemptId,
        bound: Bound,
        *,
        wallet: str | None = None,
        close_account: bool = False,
    ) -> Sealed:
        """Returns the sealed swap of `quote`. Every failure of the venue is raised as `VenueError`; it is a
        `GuardError` if the quote is looser than `bound`, the order's own. `close_account` is as in `Sealer.check`.
        Raises `SignerError` if the wallet's signer fails, and `ClientSignatureNeeded` if it
        is the client."""

        async def check() -> tuple[Sealer, str, Checked, float]:
            # Within the guard: what a venue states about itself may be anything.
            network = venue.capabilities.network
            sealer = _on(network, sealers)
            unsigned = await self._unsigned(venue, quote, deadline, bound, network=network, simulator=sealer)
            building_seconds = self._clock.monotonic() - begun
            checked = await sealer.check(venue, quote, unsigned, deadline, attempt, close_account=close_account)
            return sealer, network, checked, building_seconds

        sealers = self._wallets.of(wallet).sealers
        begun = self._clock.monotonic()
        sealer, network, checked, building_seconds = await self._guarded(venue, quote, check())
        # Outside of the guard, which is about the venue: the signer has a time limit and errors of its own.
        sealed = await sealer.sign(checked)
        age = sealed.prepared.blockhash_slots if sealed.prepared else 0
        self._check_age(begun, deadline, network, age)
        # Recorded with the bytes, so that no other chain is ever searched for them.
        signed = replace(sealed.signed, network=network, genesis=self._genesis.get(network, ""))
        return replace(sealed, signed=signed, building_seconds=building_seconds)

    async def simulate(
        self,
        venue: AnyVenue,
        quote: Quote,
        deadline: float,
        attempt: AttemptId,
        bound: Bound,
        *,
        wallet: str | None = None,
        close_account: bool = False,
    ) -> Fill:
        """Returns what the swap of `quote` would move: built and checked as in `build`, and not signed. Raises as
        `build` does."""

        async def simulate() -> Fill:
            network = venue.capabilities.network
            simulator = _on(network, simulators)
            unsigned = await self._unsigned(venue, quote, deadline, bound, network=network, simulator=simulator)
            return await simulator.simulate(venue, quote, unsigned, deadline, attempt, close_account=close_account)

        simulators = self._wallets.of(wallet).simulators
        return await self._guarded(venue, quote, simulate())

    def _check_age(self, begun: float, deadline: float, network: str, blockhash_slots: int) -> None:
        """Raises an error for bytes that were signed too late to be recorded: they are thrown away, and never sent. The
        blockhash had an age of `blockhash_slots` when the swap was begun."""
        now = self._clock.monotonic()
        if now >= deadline:
            raise QuoteExpired("the order's deadline passed while the swap was signed")
        # The blockhash is no older than this. What is left of its life must be enough to land.
        if now - begun > pace_of(self._chains[network]).seconds(max(0, OLDEST_SLOTS - blockhash_slots)):
            raise SignerError(
                SignerTrouble.TOO_LATE, f"the signature came {now - begun:.0f} s after the swap was begun: too late"
            )

    async def _guarded(self, venue: AnyVenue, quote: Quote, building: Awaitable[ResultT]) -> ResultT:
        """Returns the result of `building`, and raises every failure as `VenueError`."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return await building
        except UnavailableError:
            raise  # Postgres could not read what is reserved: this is no fault of the venue
        except VenueError as error:
            if isinstance(error, GuardError):
                self._observer.transaction_rejected(venue.name, quote.request, clean(error))
            raise
        except TimeoutError:
            raise Timeout(f"nothing was built within {CALL_TIMEOUT:.0f} s") from None
        except asyncio.CancelledError as error:
            raise_if_cancelled()  # if this task was not cancelled, the adapter raised the error by itself
            raise BadAnswer("the adapter gave up while building") from error
        # Libraries in Rust panic with a `BaseException`: an adapter's panic must not end the worker.
        except BaseException as error:
            self._observer.adapter_misbehaved(venue.name, quote.request, error)
            raise BadAnswer("the adapter failed while building") from error

    async def _unsigned(
        self,
        venue: AnyVenue,
        quote: Quote,
        deadline: float,
        bound: Bound,
        *,
        network: str,
        simulator: SwapSimulator,
    ) -> Unsigned:
        """What the venue built from `quote`, with the blockhash that it was given."""
        if not bound.allows(quote):
            raise GuardError(Rule.BOUND, f"the quote of {venue.name} is looser than the order's bound")
        blockhash = await self._chains[network].blockhash()
        # The adapter gets a copy: the guard compares the transaction with our quote, which it cannot change.
        copy = replace(quote, request=replace(quote.request))
        unsigned = await self._built(venue.build(copy, simulator.payer, blockhash), simulator, quote, blockhash.slot)
        # The last valid height decides when an attempt counts as expired. A false one would be a false proof.
        if unsigned.blockhash != blockhash:
            raise BadAnswer(f"{venue.name} built for another blockhash than the one it was given")
        if self._clock.monotonic() >= deadline:
            raise QuoteExpired("the order's deadline passed while the swap was built")
        return unsigned

    async def _built(
        self, building: Awaitable[Unsigned], simulator: SwapSimulator, quote: Quote, newest: int
    ) -> Unsigned:
        try:
            return await building
        except Slippage as error:
            # Waiting for a better price is pointless if the wallet could not pay for the swap anyway.
            lacking = await simulator.shortage(quote, newest)
            if lacking is None:
                raise
            raise lacking from error


def _on(network: str, sealers: Mapping[str, SealerT]) -> SealerT:
    """What seals on the network. Raises `Unsupported` for a client's wallet where there are no wallets."""
    # A client's wallet is made on demand, for the networks that have wallets.
    if network not in sealers:
        raise Unsupported(f"the wallet does not exist on the network {network}")
    return sealers[network]
