"""Settlement of one attempt: build and seal, then (once it is recorded) send and find out its fate.

The order of things is the promise. `prepare` makes the signed bytes and sends nothing. The caller records them under
its claim. Only then `settle` sends them, and from then on an attempt is over in exactly three ways, each with its
proof:

* landed: the chain shows the swap, finalized, with what really moved;
* failed: the chain shows the transaction, finalized, without effect; or a node refused bytes that were never sent
  before (rejected), or they never were sent (unsent);
* expired: a node whose finalized height is past the last valid one, and that has searched its whole history since,
  does not know the signature, nor any other of the order's.

Between, a swap may be confirmed and not yet final: the order moves on, the attempt stays open, and whoever looks again
may find it final, or taken back (unlanded), and then sends the same bytes again. Anything else (a timeout, an
overloaded node, an answer that got lost) is unknown, and unknown means: ask again, and send the same bytes again. The
same bytes are one swap however often they are sent, so whoever resumes an attempt after a crash does just the same.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dexexec.clock import Clock, Failpoint
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.quote import Fill, Quote, SwapRequest
from dexexec.domain.swap import (
    FailedOnChain,
    Landed,
    NotSeen,
    Rejected,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
    fill_of,
    past_expiry,
    proves_expiry,
)
from dexexec.errors import ClaimLostError
from dexexec.observe import Observer
from dexexec.settlement.pauses import FIRST, Pauses
from dexexec.settlement.sealing import Sealed, Sealer
from dexexec.venue import AnyVenue, BadAnswer, Chain, NewsChain, QuoteExpired, Timeout, VenueError

CALL_TIMEOUT = 10.0
"""Seconds for one call of an adapter or a node."""
LONGEST_WAIT = 2.0
"""Seconds without a look at a swap's status where the chain tells when there is something to see."""
RESEND_AFTER = 2.0
"""Seconds between two sends of the same bytes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A recorded attempt whose fate is to be found out.

    `others` are the signatures of the order's earlier attempts. `landed_slot` is where this one was seen as confirmed,
    if it was. `resumed`: the bytes may have been sent before, so that a refusal proves nothing. `deadline` (monotonic
    seconds) is the order's.
    """

    signed: SignedSwap
    request: SwapRequest
    deadline: float
    resumed: bool
    others: tuple[str, ...] = ()
    landed_slot: int | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an attempt. Over: `landed`, `failed`, `rejected`, `unsent` or `expired`. Still open: `confirmed`,
    or `unlanded` if it was that before. A reason code and words where there is no fill, and the proof, as JSON
    values."""

    outcome: str
    proof: dict[str, object]
    fill: Fill | None = None
    reason: str = ""
    detail: str = ""


class Settlement:
    """Settles on the chains of the enabled venues' networks."""

    def __init__(
        self, chains: Mapping[str, Chain], sealers: Mapping[str, Sealer], clock: Clock, observer: Observer
    ) -> None:
        self._chains, self._sealers, self._clock, self._observer = chains, sealers, clock, observer

    async def prepare(self, venue: AnyVenue, quote: Quote, deadline: float, attempt: AttemptId) -> Sealed:
        """Build and seal `quote` as `attempt`; nothing is sent. Raises `VenueError`; also when the order's
        deadline (monotonic seconds) comes first."""
        network = venue.capabilities.network
        sealer = self._sealers[network]
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                blockhash = await self._chains[network].blockhash()
                unsigned = await venue.build(quote, sealer.payer, blockhash)
                if unsigned.blockhash != blockhash:  # a false last valid height would be a false proof of expiry
                    raise BadAnswer(f"{venue.name} built for another blockhash than the one it was given")
                if self._clock.monotonic() >= deadline:
                    raise QuoteExpired("the order's deadline passed while the swap was built")
                return await sealer.seal(venue, quote, unsigned, deadline, attempt)
        except VenueError as error:
            if error.code == "guard":
                self._observer.guard_refused(venue.name, quote.request, str(error))
            raise
        except TimeoutError:
            raise Timeout(f"nothing was built within {CALL_TIMEOUT:.0f} s") from None
        except Exception as error:
            self._observer.venue_misbehaved(venue.name, quote.request, error)
            raise BadAnswer("the adapter failed while building") from error

    async def settle(self, venue: AnyVenue, trial: Trial, may_send: Callable[[], bool]) -> Fate:
        """Send a recorded attempt and stay with it until its fate is proven or it is confirmed, however long that
        takes.

        Past the order's deadline bytes that may never have been sent are not sent any more: a resumed attempt is only
        looked up until it is proven expired. `may_send` is asked before each send; raises `ClaimLostError` when it
        says no, as a worker whose lease ran out must not send.
        """
        late = self._clock.monotonic() >= trial.deadline
        if late and not trial.resumed:
            return Fate("unsent", {"sent": False}, None, "deadline", "the deadline passed before anything was sent")
        sends, sent = 0, self._clock.monotonic()
        if not late and trial.landed_slot is None:
            answer = await self._submit(venue, trial.signed, may_send, first=not trial.resumed)
            if isinstance(answer, Rejected) and not trial.resumed:
                code, detail = _explained(venue, answer)
                return Fate("rejected", {"code": code, "detail": detail}, None, code, detail)
            sends = 1
        pauses = Pauses()
        while True:
            status = await self._look(venue, trial)
            fate = self._fate(venue, trial, status, sends)
            if fate is not None:
                return fate
            resends = sends and not isinstance(status, FailedOnChain)
            await self._wait(venue, trial.signed.signature, pauses, sent + RESEND_AFTER if resends else None)
            if resends and self._clock.monotonic() - sent >= RESEND_AFTER:
                await self._submit(venue, trial.signed, may_send)
                sent, sends = self._clock.monotonic(), sends + 1

    async def _wait(self, venue: AnyVenue, signature: str, pauses: Pauses, until: float | None) -> None:
        """Until the next look: when the chain has news, or after a pause; not past `until` (monotonic seconds)."""
        chain = self._chains[venue.capabilities.network]
        if not isinstance(chain, NewsChain):
            await self._clock.sleep(pauses.next())
            return
        left = LONGEST_WAIT if until is None else until - self._clock.monotonic()
        await chain.news(signature, min(max(left, FIRST), LONGEST_WAIT))

    def _fate(self, venue: AnyVenue, trial: Trial, status: SwapStatus, sends: int) -> Fate | None:
        """What `status` proves; None where that is nothing yet."""
        match status:
            case Landed(_, _, slot, finalized):
                proof: dict[str, object] = {"slot": slot, "finalized": finalized, "sends": sends}
                return Fate("landed" if finalized else "confirmed", proof, fill_of(status, trial.request))
            case FailedOnChain(_, _, fee, slot, True):
                code, detail = _explained(venue, status)
                proof = {"slot": slot, "code": code, "detail": detail, "fee": str(fee), "sends": sends}
                return Fate("failed", proof, None, code, detail)
            case NotSeen(height, _, node) if proves_expiry(status, trial.signed.last_valid_height):
                proof = {
                    "signatures": [trial.signed.signature, *trial.others],
                    "lastValidHeight": trial.signed.last_valid_height,
                    "heightSeen": height,
                    "historySearched": True,
                    "node": node,
                    "sends": sends,
                }
                return Fate("expired", proof, None, "attempt-expired", "the transaction can no longer land")
            case NotSeen(_, True, node, slot) if trial.landed_slot is not None and slot > trial.landed_slot:
                words = f"slot {trial.landed_slot}, where it was confirmed, is no part of the chain any more"
                return Fate("unlanded", {"node": node, "slotSeen": slot}, detail=words)
            case _:
                return None

    async def _look(self, venue: AnyVenue, trial: Trial) -> SwapStatus:
        """Ask cheaply; and where not being seen would mean something, in the whole history and for every signature of
        the order, as a swap that was taken for gone must not be followed by another."""
        [status] = await self._status(venue, [trial.signed.signature], history=False)
        if not isinstance(status, NotSeen):
            return status
        if trial.landed_slot is None and not past_expiry(status, trial.signed.last_valid_height):
            return status
        status, *others = await self._status(venue, [trial.signed.signature, *trial.others], history=True)
        for signature, other in zip(trial.others, others, strict=True):
            if isinstance(other, Landed) and other.finalized:
                self._observer.earlier_attempt_landed(venue.name, signature)
            if not isinstance(other, NotSeen | FailedOnChain):
                return Unavailable("an earlier attempt of the order is not known to be gone")
        return status

    async def _submit(
        self, venue: AnyVenue, signed: SignedSwap, may_send: Callable[[], bool], *, first: bool = False
    ) -> SubmitAnswer:
        if not may_send():
            raise ClaimLostError("the lease ran out: nothing more is sent")
        await self._clock.failpoint(Failpoint.SENDING)
        answer: SubmitAnswer
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                answer = await venue.submit(signed, first=first)
        except TimeoutError:
            answer = Unknown("no answer in time")
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises while sending, the swap may be on its way
            self._observer.submit_unknown(venue.name, signed.signature, error)
            answer = Unknown("the adapter failed while sending")
        await self._clock.failpoint(Failpoint.SENT)
        return answer

    async def _status(self, venue: AnyVenue, signatures: Sequence[str], *, history: bool) -> list[SwapStatus]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                answers = await venue.status(signatures, history=history)
                if len(answers) == len(signatures):
                    return answers
                why = f"{len(answers)} answers for {len(signatures)} signatures"
        except TimeoutError:
            why = "no answer in time"
        except Exception as error:  # noqa: BLE001 - an answer that cannot be read says nothing about the swap
            self._observer.submit_unknown(venue.name, signatures[0], error)
            why = "the adapter failed while looking up"
        return [Unavailable(why) for _ in signatures]


def _explained(venue: AnyVenue, failed: FailedOnChain | Rejected) -> tuple[str, str]:
    """Reason code and words of a failure: the venue's where it knows what its program means, else the chain's."""
    explained = venue.explain(failed.failure) if failed.failure else None
    return (explained.code, f"{explained} ({failed.detail})") if explained else (failed.code, failed.detail)
