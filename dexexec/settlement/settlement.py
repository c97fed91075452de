"""Settlement of one attempt: build and seal it, then (once it is recorded) send it and prove its outcome.

`prepare` signs and sends nothing. The caller records the signed bytes under its claim. Only then `settle` sends them.
From then on only the chain decides: landed or failed once that is finalized, expired once it is proven that the
transaction can never land. No answer to a send proves anything.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.bound import Bound
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill, Quote, SwapRequest
from dexexec.domain.swap import (
    FailedOnChain,
    Landed,
    NotSeen,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
    fill_of,
    past_expiry,
    proves_expiry,
    too_high,
)
from dexexec.errors import ClaimLostError, UnavailableError
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import UNPRINTABLE, clean, code_of, slug
from dexexec.settlement.backoff import FIRST, Pauses
from dexexec.settlement.earlier_attempts import EarlierLanding, landings
from dexexec.settlement.finality import ConfirmedSwap, Verdict, verdict_of
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.sealing import Sealed, Sealer
from dexexec.settlement.stalled import StandStill, Tell, untold, waiting_of
from dexexec.venue import (
    AnyVenue,
    BadAnswer,
    Chain,
    NotifyingChain,
    QuoteExpired,
    Slippage,
    Timeout,
    Unsigned,
    VenueError,
)

CALL_TIMEOUT = 10.0
"""Seconds for building a swap, and for one call of a chain."""
LONGEST_WAIT = 2.0
"""Seconds without a look at a swap's status where the chain tells when there is something to see."""
RESEND_AFTER = 2.0
"""Seconds between two sends of the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAttempt:
    """A recorded attempt whose fate is to be found out.

    `others` are the signatures of the order's earlier attempts. `resumed`: the bytes may have been sent before.
    `deadline` (monotonic seconds) is the order's: past it nothing is sent for the first time. `venue` explains
    failures; None when it is not enabled any more. `signed_at` (monotonic seconds) is when it was recorded, at the
    latest.
    """

    signed: SignedSwap
    request: SwapRequest
    deadline: float
    resumed: bool
    others: tuple[str, ...] = ()
    venue: AnyVenue | None = None
    signed_at: float = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementResult:
    """What became of an attempt. Over: `landed`, `failed`, `unsent` or `expired`. Still open: `confirmed`. A reason
    code and words where there is no fill, and the proof, as JSON values. `earlier` are earlier attempts of the order
    that landed after all: where there is no fill, they are final."""

    outcome: Outcome
    proof: dict[str, object]
    fill: Fill | None = None
    reason: str = ""
    detail: str = ""
    earlier: tuple[EarlierLanding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """What the chain shows of an attempt, and of earlier ones that landed. `searched`: the whole history was searched,
    as by the recent statuses the attempt is gone."""

    status: SwapStatus
    searched: bool = False
    earlier: tuple[EarlierLanding, ...] = ()


class Settlement:
    """Settles on the chains of the enabled venues' networks. `genesis` is the hash of each one's first block, where
    there is one."""

    def __init__(
        self,
        chains: Mapping[str, Chain],
        sealers: Mapping[str, Sealer],
        clock: Clock,
        observer: Observer,
        genesis: Mapping[str, str] = MappingProxyType({}),
        *,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._chains, self._sealers, self._clock, self._observer = chains, sealers, clock, observer
        self._genesis = genesis
        self._failpoints = failpoints

    @property
    def networks(self) -> Mapping[str, str]:
        """The networks that it settles on, each with the hash of its first block, or nothing where there is none."""
        return {network: self._genesis.get(network, "") for network in self._chains}

    def out_of_reach(self, signed: SignedSwap) -> str:
        """Why a swap cannot be sent or looked up here, and what to do; empty if it can."""
        network = signed.network
        if network not in self._chains:
            return f"it is of the network {network or 'of an adapter that is gone'}, which no enabled adapter needs"
        here = self._genesis.get(network, "")
        if signed.genesis and here and signed.genesis != here:
            return f"it is of the chain with the genesis {signed.genesis}, and the nodes of {network} are of {here}"
        return ""

    async def prepare(
        self, venue: AnyVenue, quote: Quote, deadline: float, attempt: AttemptId, *, bound: Bound
    ) -> Sealed:
        """Build and seal `quote` as `attempt`; nothing is sent. `bound` is the order's own, which the quote must not be
        looser than. Raises `VenueError`; also when the order's deadline (monotonic seconds) comes first."""
        try:
            network = venue.capabilities.network
            sealer = self._sealers[network]
            async with asyncio.timeout(CALL_TIMEOUT):
                if not bound.allows(quote):
                    raise GuardError(Rule.BOUND, f"the quote of {venue.name} is looser than the order's bound")
                blockhash = await self._chains[network].blockhash()
                # A copy: what is signed is held to the quote as it is here, whatever the adapter does to its own.
                copy = replace(quote, request=replace(quote.request))
                building = venue.build(copy, sealer.payer, blockhash)
                unsigned = await self._built(building, sealer, quote, blockhash.slot)
                if unsigned.blockhash != blockhash:  # a false last valid height would be a false proof of expiry
                    raise BadAnswer(f"{venue.name} built for another blockhash than the one it was given")
                if self._clock.monotonic() >= deadline:
                    raise QuoteExpired("the order's deadline passed while the swap was built")
                sealed = await sealer.seal(venue, quote, unsigned, deadline, attempt)
                place = replace(sealed.signed, network=network, genesis=self._genesis.get(network, ""))
                return replace(sealed, signed=place)
        except UnavailableError:
            raise  # Postgres does not tell what is reserved: nothing that the venue did
        except VenueError as error:
            if isinstance(error, GuardError):
                self._observer.transaction_rejected(venue.name, quote.request, clean(error))
            raise
        except TimeoutError:
            raise Timeout(f"nothing was built within {CALL_TIMEOUT:.0f} s") from None
        except asyncio.CancelledError as error:
            raise_if_cancelled()  # else it is the adapter's own doing
            raise BadAnswer("the adapter gave up while building") from error
        except BaseException as error:
            self._observer.adapter_misbehaved(venue.name, quote.request, error)
            raise BadAnswer("the adapter failed while building") from error

    async def _built(self, building: Awaitable[Unsigned], sealer: Sealer, quote: Quote, newest: int) -> Unsigned:
        """What a venue builds. A price that moved is no reason to wait for where the wallet could not pay anyway."""
        try:
            return await building
        except Slippage as error:
            lacking = await sealer.shortage(quote, newest)
            if lacking is None:
                raise
            raise lacking from error

    async def settle(
        self, pending: PendingAttempt, may_send: Callable[[], bool], tell: Tell = untold
    ) -> SettlementResult:
        """Send a recorded attempt and stay with it until its fate is proven or it is confirmed, however long that
        takes.

        Past the order's deadline bytes that may never have been sent are not sent any more: a resumed attempt is only
        looked up until it is proven expired. `may_send` is asked before each send; raises `ClaimLostError` when it
        says no, as a worker whose lease ran out must not send. `tell` hears what a swap waits for that stands still.
        """
        late = self._clock.monotonic() >= pending.deadline
        if late and not pending.resumed:
            return SettlementResult(
                outcome=Outcome.UNSENT,
                proof={"sent": False},
                fill=None,
                reason=FailureReason.DEADLINE,
                detail="the deadline passed before anything was sent",
            )
        sends, sent = 0, self._clock.monotonic()
        answer: SubmitAnswer | None = None
        # After a crash an earlier attempt may have landed meanwhile, as its own worker would have seen before sending.
        overtaken = pending.resumed and pending.others and (await self._look(pending)).earlier
        if not late and not overtaken:
            answer = await self._submit(pending, may_send)
            sends = 1
        pauses, standing = Pauses(), StandStill(self._clock, tell)
        while True:
            look = await self._look(pending)
            result = self._result_of(pending, look.status, sends, answer)
            if result is not None:
                return replace(result, earlier=look.earlier)
            await standing.at(waiting_of(pending.signed, look.status, answer, searched=look.searched))
            resends = sends and not isinstance(look.status, FailedOnChain) and not look.earlier
            await self._wait(pending, pauses, sent + RESEND_AFTER if resends else None)
            raise_if_cancelled()
            if resends and self._clock.monotonic() - sent >= RESEND_AFTER:
                answer = await self._submit(pending, may_send)
                sent, sends = self._clock.monotonic(), sends + 1

    async def look_again(self, network: str, swaps: Sequence[ConfirmedSwap]) -> list[Verdict]:
        """What one look says of each of these swaps, which were confirmed on `network`."""
        statuses = [*await self._statuses(network, [swap.signed.signature for swap in swaps], history=False)]
        gone = {place: status for place, status in enumerate(statuses) if isinstance(status, NotSeen)}
        if gone:
            signatures = [swaps[place].signed.signature for place in gone]
            for place, status in zip(gone, await self._statuses(network, signatures, history=True), strict=True):
                statuses[place] = status
        earlier = await self._earlier(
            network,
            [swap for swap, one in zip(swaps, statuses, strict=True) if isinstance(one, Landed) and one.finalized],
        )
        return [
            self._verdict(swap, statuses[place], searched=place in gone, earlier=earlier.get(swap.signed.signature, ()))
            for place, swap in enumerate(swaps)
        ]

    def _verdict(
        self, swap: ConfirmedSwap, status: SwapStatus, *, searched: bool, earlier: tuple[EarlierLanding, ...]
    ) -> Verdict:
        try:
            return verdict_of(swap, status, searched=searched, earlier=earlier)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be read says nothing of this swap, nor others
            self._observer.settlement_failed(swap.signed.network, swap.signed.signature, error)
            return verdict_of(swap, Unavailable("its status cannot be read"), searched=searched)

    async def _earlier(self, network: str, swaps: Sequence[ConfirmedSwap]) -> dict[str, tuple[EarlierLanding, ...]]:
        """By the signatures of `swaps`: which earlier attempts of the same orders landed as well."""
        wanted = [other for swap in swaps for other in swap.others]
        statuses = await self._statuses(network, wanted, history=True) if wanted else []
        known = dict(zip(wanted, statuses, strict=True))
        return {
            swap.signed.signature: landings(swap.others, [known[other] for other in swap.others], swap.request)
            for swap in swaps
        }

    async def landed(self, signatures: Sequence[str], request: SwapRequest) -> tuple[EarlierLanding, ...]:
        """Which of an order's attempts that ended without a swap are on chain after all, on whichever network. A chain
        that does not answer shows none: all of them were proven gone before."""
        answers = await asyncio.gather(*(self._statuses(network, signatures, history=True) for network in self._chains))
        return tuple(one for statuses in answers for one in landings(signatures, statuses, request))

    def _chain(self, pending: PendingAttempt) -> Chain:
        return self._chains[pending.signed.network]

    async def _wait(self, pending: PendingAttempt, pauses: Pauses, until: float | None) -> None:
        """Until the next look: when the chain has news, or after a pause; not past `until` (monotonic seconds)."""
        chain = self._chain(pending)
        if not isinstance(chain, NotifyingChain):
            await self._clock.sleep(pauses.next())
            return
        left = LONGEST_WAIT if until is None else until - self._clock.monotonic()
        await chain.wait_for_notification(pending.signed.signature, min(max(left, FIRST), LONGEST_WAIT))

    def _result_of(
        self, pending: PendingAttempt, status: SwapStatus, sends: int, answer: SubmitAnswer | None
    ) -> SettlementResult | None:
        """What `status` proves; None where that is nothing yet. `answer` is the last send's: it proves nothing, but it
        may explain why nothing landed."""
        match status:
            case Landed(_, _, slot, finalized):
                proof: dict[str, object] = {"slot": slot, "finalized": finalized, "sends": sends}
                return SettlementResult(
                    outcome=Outcome.LANDED if finalized else Outcome.CONFIRMED,
                    proof=proof,
                    fill=fill_of(status, pending.request),
                )
            case FailedOnChain(code=_, detail=_, fee=fee, slot=slot, finalized=True):
                code, detail = self._explained(pending, status)
                proof = {"slot": slot, "code": code, "detail": detail, "fee": str(fee), "sends": sends}
                return SettlementResult(outcome=Outcome.FAILED, proof=proof, fill=None, reason=code, detail=detail)
            case NotSeen(height, _, node) if proves_expiry(status, pending.signed.last_valid_height):
                proof = {
                    "signatures": [pending.signed.signature, *pending.others],
                    "lastValidHeight": pending.signed.last_valid_height,
                    "heightSeen": height,
                    "historySearched": True,
                    "node": node,
                    "sends": sends,
                }
                told = f"; the last send was answered: {answer.detail}" if isinstance(answer, Unknown) else ""
                return SettlementResult(
                    outcome=Outcome.EXPIRED,
                    proof=proof,
                    fill=None,
                    reason=FailureReason.ATTEMPT_EXPIRED,
                    detail=f"the transaction can no longer land{told}",
                )
            case _:
                return None

    async def _look(self, pending: PendingAttempt) -> _Look:
        """Ask cheaply; and where the attempt would be over, or not being seen would mean something, in the whole
        history and for every signature of the order, as a swap that was taken for gone must not be followed by
        another."""
        signatures = (pending.signed.signature, *pending.others)
        status, *others = await self._status(pending, signatures, history=False)
        landed = landings(pending.others, others, pending.request)
        over = isinstance(status, Landed) or (isinstance(status, FailedOnChain) and status.finalized)
        if over and pending.others:
            _, *others = await self._status(pending, signatures, history=True)
            landed = landings(pending.others, others, pending.request)
        if isinstance(status, FailedOnChain) and over and not all(one.finalized for one in landed):
            return _Look(Unavailable("an earlier attempt of the order landed, and is not final yet"), earlier=landed)
        if not isinstance(status, NotSeen) or not past_expiry(status, pending.signed.last_valid_height):
            return _Look(status, earlier=landed)
        status, *others = await self._status(pending, signatures, history=True)
        landed = landings(pending.others, others, pending.request)
        seconds = self._clock.monotonic() - pending.signed_at
        if isinstance(status, NotSeen) and too_high(status, pending.signed.last_valid_height, seconds):
            why = f"{status.node} tells height {status.height}, further than any chain has come since it was signed"
            return _Look(Unavailable(why), True, landed)
        final = {one.signature for one in landed if one.finalized}
        for signature, other in zip(pending.others, others, strict=True):
            if not isinstance(other, NotSeen | FailedOnChain) and signature not in final:
                return _Look(Unavailable("an earlier attempt of the order is not known to be gone"), True, landed)
        return _Look(status, True, landed)

    async def _submit(self, pending: PendingAttempt, may_send: Callable[[], bool]) -> SubmitAnswer:
        if not may_send():
            raise ClaimLostError("the lease ran out: nothing more is sent")
        await self._failpoints.reach(Failpoint.SENDING)
        answer: SubmitAnswer
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                answer = await self._chain(pending).submit(pending.signed)
        except TimeoutError:
            answer = Unknown("no answer in time")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong while sending, the swap may be on its way
            self._observer.settlement_failed(pending.signed.network, pending.signed.signature, error)
            answer = Unknown("sending failed")
        await self._failpoints.reach(Failpoint.SENT)
        return answer

    async def _status(self, pending: PendingAttempt, signatures: Sequence[str], *, history: bool) -> list[SwapStatus]:
        return await self._statuses(pending.signed.network, signatures, history=history)

    async def _statuses(self, network: str, signatures: Sequence[str], *, history: bool) -> list[SwapStatus]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                answers = await self._chains[network].status(signatures, history=history)
                if len(answers) == len(signatures):
                    return answers
                why = f"{len(answers)} answers for {len(signatures)} signatures"
        except TimeoutError:
            why = "no answer in time"
        except Exception as error:  # noqa: BLE001 - an answer that cannot be read says nothing about the swap
            self._observer.settlement_failed(network, signatures[0], error)
            why = "looking it up failed"
        return [Unavailable(why) for _ in signatures]

    def _explained(self, pending: PendingAttempt, failed: FailedOnChain) -> tuple[str, str]:
        """Reason code and words of a failure: the venue's where it knows what its program means, else the chain's.
        Nothing that a venue says or raises here may keep a proven failure from being written."""
        code, detail = slug(failed.code, FailureReason.PROGRAM_ERROR), clean(failed.detail)
        if pending.venue is None or failed.failure is None:
            return code, detail
        try:
            explained = pending.venue.explain(failed.failure)
        except BaseException as error:  # noqa: BLE001 - the chain's own words are good enough
            self._observer.explanation_failed(pending.venue.name, pending.signed.signature, error)
            return code, detail
        if not isinstance(explained, VenueError):
            return code, detail
        words = clean(explained)
        return code_of(explained), detail if words == UNPRINTABLE else f"{words} ({detail})"
